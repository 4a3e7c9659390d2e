"""What is told about replicas, beside the causes of a full pool."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolkeeper.diagnosis import explain
from poolkeeper.model import PoolSnapshot, ReplicaView, Role, Severity, Standing

PRIMARY = PoolSnapshot("orders", capacity=5, in_use=0, idle=5, waiting=0)
READY = ReplicaView(
    name="replica-1",
    standing=Standing.READY,
    role=Role.REPLICA,
    weight=1,
    lag=0.0,
    lag_bytes=0,
    sessions=0,
    conflicts=0,
    moved=0,
    problem=None,
    pool=replace(PRIMARY, name="orders/replica-1"),
)
LAGGING = replace(READY, name="replica-2", standing=Standing.LAGGING, lag=12.34, lag_bytes=4096)


def told(*replicas: ReplicaView) -> list[tuple[str, str]]:
    return [(finding.code, finding.subject) for finding in explain([PRIMARY], None, replicas)]


def test_healthy_replicas_and_none_are_nothing_to_tell() -> None:
    assert told() == []
    assert told(READY) == []
    assert told(replace(READY, standing=Standing.UNKNOWN)) == []


def test_lag_is_told_with_its_figures() -> None:
    (finding,) = explain([PRIMARY], None, (READY, LAGGING))
    assert (finding.code, finding.severity) == ("replica-lag", Severity.WARNING)
    assert "12.3 s and 4096 bytes behind" in finding.seen
    assert finding.figures == {"conflicts": 0, "moved": 0, "lag": 12.34, "lag_bytes": 4096}


@pytest.mark.parametrize(
    ("replica", "code", "words"),
    [
        (replace(READY, standing=Standing.UNREACHABLE, problem="nobody listens"), "replica-unreachable", "nobody"),
        (replace(READY, standing=Standing.NOT_A_REPLICA, role=Role.PRIMARY), "replica-promoted", "follows nobody"),
        (replace(READY, conflicts=3), "replica-conflicts", "cancelled 3 reads"),
        (replace(LAGGING, lag=None, lag_bytes=None), "replica-lag", "an unknown time behind"),
    ],
)
def test_each_trouble_has_a_finding(replica: ReplicaView, code: str, words: str) -> None:
    (finding,) = explain([PRIMARY], None, (replica, replace(READY, name="another")))
    assert finding.code == code
    assert words in finding.seen


def test_none_left_is_told_first() -> None:
    gone = replace(READY, standing=Standing.UNREACHABLE)
    assert told(gone, LAGGING) == [
        ("no-replica-healthy", "orders"),
        ("replica-unreachable", "replica-1"),
        ("replica-lag", "replica-2"),
    ]
