"""Which host takes the writes, after what the hosts have said."""

from __future__ import annotations

from poolkeeper.model import HostState, Role
from poolkeeper.policy import Primacy
from poolkeeper.policy.primacy import BELONGS_TOGETHER, PATIENCE

WRITES = HostState(Role.PRIMARY, 0.0)
STANDBY = HostState(Role.REPLICA, 0.0, read_only=True)
READ_ONLY = HostState(Role.PRIMARY, 0.0, read_only=True)
AWAY = None


def after(*looks: tuple[float, str, HostState | None], must_see: bool = False) -> str:
    primacy = Primacy("a", must_see=must_see)
    for at, host, state in looks:
        primacy.heard(host, state, at)
    return primacy.name


def test_it_stays_while_the_primary_takes_writes() -> None:
    assert after((0, "a", WRITES), (0, "b", STANDBY), (1, "b", WRITES), (2, "a", WRITES)) == "a"


def test_a_primary_that_is_away_keeps_its_place_while_nobody_was_promoted() -> None:
    assert after((0, "a", WRITES), (0, "b", STANDBY), (1, "a", AWAY), (99, "b", STANDBY), (99, "a", AWAY)) == "a"


def test_one_that_was_promoted_when_the_primary_fell_silent_follows_it() -> None:
    assert after((0, "a", WRITES), (0, "b", STANDBY), (1, "a", AWAY), (9, "b", WRITES)) == "b"
    # Seen in the other order, and after the host that was promoted had been away for a moment itself.
    assert after((0, "a", WRITES), (0, "b", STANDBY), (1, "b", AWAY), (2, "b", WRITES), (3, "a", AWAY)) == "b"


def test_a_copy_that_was_promoted_long_before_gets_no_writes() -> None:
    later = BELONGS_TOGETHER + 2
    looks = ((0.0, "a", WRITES), (0.0, "b", STANDBY), (1.0, "b", WRITES), (later, "a", WRITES), (later, "b", WRITES))
    assert after(*looks, (later + 1, "a", AWAY), (later + 2, "b", WRITES)) == "a"
    # The old primary says itself that it is none any more: then that is the one.
    assert after(*looks, (later + 1, "a", STANDBY)) == "b"


def test_one_that_never_was_a_replica_is_believed_only_when_the_primary_gives_up_its_place() -> None:
    assert after((0, "a", WRITES), (0, "b", WRITES), (1, "a", AWAY), (99, "b", WRITES)) == "a"
    assert after((0, "a", WRITES), (0, "b", WRITES), (1, "a", READ_ONLY)) == "b"


def test_a_process_that_starts_after_the_failover_finds_the_primary() -> None:
    assert after((0, "a", STANDBY), (0, "b", WRITES)) == "b"
    assert after((0, "a", AWAY), (0, "b", WRITES), (1, "a", AWAY)) == "a"
    assert after((0, "a", AWAY), (0, "b", WRITES), (PATIENCE, "a", AWAY)) == "b"


def test_of_two_it_is_the_one_promoted_last_and_none_where_nobody_can_tell() -> None:
    looks = ((0.0, "a", WRITES), (0.0, "b", STANDBY), (0.0, "c", STANDBY), (1.0, "b", WRITES), (2.0, "c", WRITES))
    assert after(*looks, (3.0, "a", STANDBY)) == "c"
    assert after((0, "b", WRITES), (0, "c", WRITES), (0, "a", STANDBY)) == "a"


def test_it_goes_back_to_the_first_when_the_second_gives_way() -> None:
    failed_over = ((0.0, "a", WRITES), (0.0, "b", STANDBY), (1.0, "a", AWAY), (2.0, "b", WRITES))
    assert after(*failed_over, (3.0, "a", STANDBY), (4.0, "b", STANDBY), (5.0, "a", WRITES)) == "a"
    # One that rose from the dead and does not know that it was replaced is not taken back while the second is away.
    assert after(*failed_over, (3.0, "a", WRITES), (4.0, "b", AWAY), (5.0, "a", WRITES)) == "b"


LATER = BELONGS_TOGETHER + 2
# MySQL's replicas refuse writes only where they are told to.
OPEN = HostState(Role.REPLICA, 0.0)
FOLLOWS_B = HostState(Role.REPLICA, 0.0, read_only=True, follows=frozenset({2}))
B = HostState(Role.PRIMARY, 0.0, server=2)


def test_what_takes_writes_unless_it_is_told_not_to_has_to_be_seen_being_promoted() -> None:
    for end in (AWAY, READ_ONLY, STANDBY):
        looks = ((0.0, "a", WRITES), (0.0, "b", STANDBY), (1.0, "a", end))
        assert after(*looks, (2.0, "b", WRITES), must_see=True) == "b"
        # One that never was seen as a replica may be empty; one promoted long before is somebody's copy.
        assert after((0.0, "a", WRITES), (0.0, "b", WRITES), (1.0, "a", end), (99.0, "a", end), must_see=True) == "a"
        copy = ((0.0, "b", STANDBY), (1.0, "b", WRITES), (LATER, "a", WRITES))
        assert after((0.0, "a", WRITES), *copy, (LATER + 1, "a", end), (LATER + 2, "b", WRITES), must_see=True) == "a"
        # One that never refused writes was not promoted, it only follows nobody for a moment.
        looks = ((0.0, "a", WRITES), (0.0, "b", OPEN), (1.0, "a", end))
        assert after(*looks, (2.0, "b", WRITES), must_see=True) == "a"


def test_who_starts_to_look_in_the_middle_of_a_switch_sees_the_end_of_it() -> None:
    for end in (AWAY, READ_ONLY):
        assert after((0.0, "a", end), (0.0, "b", STANDBY), (1.0, "b", WRITES), (1.0, "a", end), must_see=True) == "b"


def test_a_promotion_in_two_steps_is_one() -> None:
    looks = ((0.0, "a", WRITES), (0.0, "b", STANDBY), (1.0, "a", AWAY), (2.0, "b", OPEN), (3.0, "b", WRITES))
    assert after(*looks, must_see=True) == "b"


def test_whom_the_old_primary_follows_is_the_new_one() -> None:
    assert after((0.0, "b", B), (0.0, "a", FOLLOWS_B), must_see=True) == "b"
    assert after((0.0, "b", WRITES), (0.0, "a", FOLLOWS_B), must_see=True) == "a"
    # What it said before it fell silent is not asked of it any more.
    assert after((0.0, "a", FOLLOWS_B), (1.0, "a", AWAY), (2.0, "b", B), must_see=True) == "a"


def test_a_primary_that_does_not_tell_keeps_its_place() -> None:
    assert after((0.0, "a", OPEN), (0.0, "b", STANDBY), (1.0, "b", WRITES), (99.0, "b", WRITES)) == "a"
