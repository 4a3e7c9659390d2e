"""Which replicas are in the rotation, and which of them a session goes to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from poolkeeper.model import HostState, Place, Position, Role, Standing
from poolkeeper.policy import Bounds, Candidate, Lag, choose, standing_of, worth_waiting

READY, LAGGING, UNKNOWN = Standing.READY, Standing.LAGGING, Standing.UNKNOWN
WAL, GTID = Place.of_wal, Place({"0": 120, "7": 3})
BOUNDS = Bounds(10.0, 1000)
REPLICA = HostState(Role.REPLICA, 0.0, WAL(100))


@pytest.mark.parametrize(
    ("state", "lag", "before", "expected"),
    [
        (None, None, READY, Standing.UNREACHABLE),
        (HostState(Role.PRIMARY, 0.0, WAL(100)), Lag(0, 0), READY, Standing.NOT_A_REPLICA),
        (REPLICA, Lag(0, 0), UNKNOWN, READY),
        (REPLICA, None, UNKNOWN, READY),
        (REPLICA, Lag(10, 1000), READY, READY),
        (REPLICA, Lag(10.1, 1), READY, LAGGING),
        (REPLICA, Lag(0.1, 1001), READY, LAGGING),
        (REPLICA, Lag(0.1, 1, is_known=False), UNKNOWN, LAGGING),
        (REPLICA, Lag(6, 1), LAGGING, LAGGING),
        (REPLICA, Lag(1, 600), LAGGING, LAGGING),
        (REPLICA, Lag(5, 500), LAGGING, READY),
        (replace(REPLICA, position=None, lag=11.0), None, READY, LAGGING),
        (replace(REPLICA, stopped=True), None, READY, LAGGING),
        (replace(REPLICA, stopped=True), Lag(0.1, None), READY, LAGGING),
        (replace(REPLICA, stopped=True), Lag(0.0), READY, READY),
        (REPLICA, Lag(0.1, None), READY, READY),
    ],
)
def test_standing(state: HostState | None, lag: Lag | None, before: Standing, expected: Standing) -> None:
    assert standing_of(state, lag, BOUNDS, before) is expected


def test_servers_that_do_not_say_what_they_are_may_be_replicas() -> None:
    assert standing_of(HostState(None, 0.0), None, BOUNDS, UNKNOWN) is READY


def test_the_least_loaded_for_its_weight_is_chosen_and_of_equals_the_one_that_waited_longest() -> None:
    loads, turns = Counter[str](), Counter[str]()
    weights = {"a": 1.0, "b": 1.0, "c": 2.0}
    for turn in range(1, 401):
        chosen = choose(Candidate(name, READY, weight, loads[name], turns[name]) for name, weight in weights.items())
        assert chosen is not None
        loads[chosen.name] += 1
        turns[chosen.name] = turn
    assert loads == {"a": 100, "b": 100, "c": 200}


def test_only_what_shows_enough_is_chosen() -> None:
    far, near = Candidate("far", READY, load=9, replayed=WAL(200)), Candidate("near", READY, replayed=WAL(99))
    blind = Candidate("blind", READY)
    assert choose([far, near, blind], after=WAL(100)) == far
    assert choose([near, blind], after=WAL(100)) is None
    assert choose([near], after=None) == near
    assert choose([replace(far, standing=LAGGING)], after=WAL(100)) is None


def test_nobody_waits_for_a_replica_that_cannot_make_it() -> None:
    ready = Candidate("ready", READY, replayed=WAL(1), lag=0.01)
    late = Candidate("late", READY, replayed=WAL(1), lag=0.5)
    out, blind = Candidate("out", LAGGING, replayed=WAL(1), lag=0.0), Candidate("blind", READY)
    assert worth_waiting([ready, late, out, blind], 0.1) == ("ready",)
    assert worth_waiting([ready], 0.0) == ()


@pytest.mark.parametrize(
    "position",
    [
        Position(),
        Position(WAL(255)),
        Position(None, 12.5),
        Position(WAL(1), 2.0),
        Position(GTID, 2.0),
        Position(Place({"3e11fa4771ca11e19e33c80aa9429562": 77})),
    ],
)
def test_a_position_survives_its_text(position: Position) -> None:
    assert Position.parse(str(position)) == position


def test_a_later_position_shows_both() -> None:
    assert Position(WAL(5), 1.0).later(Position(WAL(3), 2.0)) == Position(WAL(5), 2.0)
    assert Position(WAL(5)).later(None) == Position(WAL(5))
    assert Position().later(Position(WAL(3))) == Position(WAL(3))
    assert Position(GTID).later(Position(Place({"0": 9, "8": 1}))) == Position(Place({"0": 120, "7": 3, "8": 1}))


@pytest.mark.parametrize("text", ["nonsense", "zz-", "0:1+7-", "0:1+:2-", "1:-"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a (position|place)|invalid literal"):
        Position.parse(text)


def test_who_has_more_of_one_log_only_does_not_cover_the_other() -> None:
    assert GTID.covers(Place({"0": 119}))
    assert not GTID.covers(Place({"0": 119, "7": 4}))
    assert not GTID.covers(Place({"0": 1, "8": 1}))
    assert GTID.covers(Place({}))
