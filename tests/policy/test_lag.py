"""How far behind a replica is, from what one clock saw of its primary."""

from __future__ import annotations

from poolkeeper.model import Place
from poolkeeper.policy import Lag, PositionLog


def log(*seen: tuple[int, float]) -> PositionLog:
    positions = PositionLog()
    for position, at in seen:
        positions.seen(Place.of_wal(position), at)
    return positions


def test_nothing_is_known_before_the_primary_was_seen() -> None:
    assert PositionLog().lag_of(Place.of_wal(100), now=5.0) is None


def test_who_has_everything_is_not_behind_however_long_nobody_wrote() -> None:
    assert log((100, 1.0), (100, 2.0)).lag_of(Place.of_wal(100), now=3600.0) == Lag(0.0)
    assert log((100, 1.0)).lag_of(Place.of_wal(150), now=2.0) == Lag(0.0)


def test_lag_counts_from_the_first_look_that_saw_what_is_missing() -> None:
    positions = log((100, 1.0), (200, 2.0), (300, 3.0))
    assert positions.lag_of(Place.of_wal(200), now=10.0) == Lag(7.0, 100)
    assert positions.lag_of(Place.of_wal(150), now=10.0) == Lag(8.0, 150)


def test_a_write_after_an_idle_hour_is_not_an_hour_of_lag() -> None:
    positions = log((100, 0.0), (100, 3600.0), (200, 3601.0))
    assert positions.lag_of(Place.of_wal(100), now=3601.5) == Lag(0.5, 100)


def test_what_was_missing_before_the_first_look_may_be_of_any_age() -> None:
    assert log((100, 1.0)).lag_of(Place.of_wal(50), now=2.0) == Lag(1.0, 50, is_known=False)


def test_looks_in_quick_succession_are_one() -> None:
    positions = log((100, 1.0), (110, 1.01), (120, 1.02), (130, 2.0))
    assert positions.newest == Place.of_wal(130)
    assert positions.lag_of(Place.of_wal(105), now=3.0) == Lag(1.0, 25)
    assert log((100, 1.0), (110, 1.01)).lag_of(Place.of_wal(105), now=3.0) == Lag(1.99, 5)


def test_a_primary_that_went_back_is_another_one() -> None:
    positions = log((500, 1.0), (100, 2.0))
    assert positions.lag_of(Place.of_wal(100), now=3.0) == Lag(0.0)
    assert positions.lag_of(Place.of_wal(50), now=3.0) == Lag(1.0, 50, is_known=False)


def test_memory_is_bounded() -> None:
    positions = log(*((number, float(number)) for number in range(20_000)))
    assert positions.lag_of(Place.of_wal(19_000), now=20_000.0) == Lag(999.0, 999)
    lag = positions.lag_of(Place.of_wal(5), now=20_000.0)
    assert lag is not None
    assert not lag.is_known


def test_logs_that_are_counted_apart_are_all_followed() -> None:
    positions = PositionLog()
    for at, logs in ((1.0, {"0": 7, "1": 3}), (2.0, {"0": 8, "1": 3}), (3.0, {"0": 8, "1": 4})):
        positions.seen(Place(logs), at)
    assert positions.lag_of(Place({"0": 8, "1": 4}), now=10.0) == Lag(0.0)
    assert positions.lag_of(Place({"0": 8, "1": 3}), now=10.0) == Lag(7.0, None)
    assert positions.lag_of(Place({"0": 7, "1": 4}), now=10.0) == Lag(8.0, None)
    assert positions.lag_of(Place({"0": 8}), now=10.0) == Lag(9.0, None, is_known=False)
