"""Signal: checkouts have waited for long, for minutes."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.change import change_between
from poolkeeper.diagnosis.words import duration
from poolkeeper.model import Confidence, Finding, Severity

# The usual alert of operation guides.
LONG_WAIT = 0.5
FOR = 120.0


def check(case: Case) -> Iterator[Finding]:
    snapshots = case.last(FOR)
    change = change_between(snapshots[0], case.now)
    p95 = change.timings.waits.quantile(0.95)
    if change.seconds < FOR or p95 is None or p95 <= LONG_WAIT:
        return
    yield Finding(
        code="checkout-wait-high",
        severity=Severity.WARNING,
        subject=case.name,
        seen=f"p95 of the wait for a connection is {duration(p95)} over {duration(change.seconds)}"
        f" ({change.timings.waits.count} checkouts)",
        why="every request that needs the database is slower by as much",
        fix="See the causes above; without one, look at holders while it lasts",
        confidence=Confidence.CERTAIN,
        figures={"wait_p95_seconds": round(p95, 3), "seconds": round(change.seconds, 1)},
    )
