"""Runs that were never played, to judge and to report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from poolkeeper.drill.figures import Books, Figures, Observed, Point, Sample
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.play import Played
from poolkeeper.drill.scenarios import scenarios
from poolkeeper.drill.stacks import STACKS
from poolkeeper.drill.subject import Reference
from poolkeeper.drill.verdict import judge

CAUSES = ("leak", "nested-checkout", "held-across-external-io", "event-loop-blocked")
# What only one scenario measures, as on a stack that does well.
MORE: dict[str, dict[str, float]] = {
    "cancelled-clients": {"callers who left": 1000},
    "cold-start-of-20": {
        "first wave p50 ms": 30,
        "warm wave p50 ms": 28,
        "ratio": 1.07,
        "opened by the first wave": 0,
    },
    "dns-failure": {"ended": 20},
    "failover-promote": {"in flight": 6, "first write after s": 0.6},
    "graceful-sigterm": {"in flight": 12, "not answered": 0, "ended after s": 0.6},
    "kill-in-transaction": {"killed": 5},
    "latency-jump": {"p50 while slow ms": 90},
    "lessons-pgbouncer": {"sessions of the server": 24},
    "overload-x10": {"goodput per second": 49.5, "share of capacity": 0.99},
    "overload-x3": {"goodput per second": 49.5, "share of capacity": 0.99},
    "pgbouncer-restart-session": {"in flight": 4},
    "pgbouncer-restart-transaction": {"in flight": 4},
    "planned-switchover": {"in flight": 6, "first write after s": 0.6},
    "replica-lag": {"looks": 200, "stale by s": 0.9},
    "restart-fast": {"in flight": 3},
    "restart-immediate": {"in flight": 3},
    "rolling-deploy": {"workers replaced": 2, "cut off": 1, "deployed after s": 4},
    "worker-sigkill": {"in flight": 13, "replaced after s": 1.5},
}


def good_figures(name: str, **changes: Any) -> Figures:
    """Figures of poolkeeper in a scenario that went well, but for the `changes`."""
    figures = Figures(
        stack="poolkeeper",
        requests=300,
        ok=298,
        # Whose COMMIT fails has to be told so.
        failed=2 if name == "commit-fails" else 0,
        refused=0,
        wrong=0,
        p50_ms=5.0,
        p99_ms=20.0,
        max_ms=30.0,
        refused_ms=0.0,
        longest_gap=0.1,
        healthy_after=0.0,
        connections_peak=20,
        connects=3,
        connects_at_once=2,
        connects_in_100_ms=5,
        backends_left=0,
        slots=20,
        slots_left=20,
        behind_ms=4.0,
        books=Books(),
        by_error={},
        causes=CAUSES,
        more=MORE.get(name, {}),
        trouble=(1.0, 2.0),
        curve=tuple(Point(at / 4, 100.0, 0.0, 0.0, 5.0 if at else None, 20, 0) for at in range(12)),
    )
    return replace(figures, **changes)


def played(name: str, stack: str, **changes: Any) -> Played:
    """A run of a scenario, judged by its own expectation."""
    scenario = scenarios()[name]
    figures = good_figures(name, stack=stack, **changes)
    return Played(scenario, Reference(STACKS[stack]), figures, judge(figures, scenario.expect(figures)))


def observed(*outcomes: Outcome, **changes: Any) -> Observed:
    seen = Observed(
        stack="poolkeeper",
        connections=20,
        outcomes=outcomes,
        samples=(),
        marks={"opened": -1.0, "fault": 1.0, "over": 2.0},
        counts={},
        books=Books(),
        in_use=0,
        backends_left=0,
    )
    return replace(seen, **changes)


def ok(due: float, seconds: float = 0.01) -> Outcome:
    return Outcome("read", due, seconds, 200)


def failed(due: float, seconds: float = 0.01) -> Outcome:
    return Outcome("read", due, seconds, 500, "status 500")


def refused(due: float, seconds: float = 0.01) -> Outcome:
    return Outcome("read", due, seconds, 503, "status 503", retry_after=True)


def samples(*connects: int) -> tuple[Sample, ...]:
    """Each 40 ms from 0, so many connects in all by then."""
    return tuple(Sample(number * 0.04, 5, count) for number, count in enumerate(connects))
