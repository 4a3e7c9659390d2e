"""Connections beyond pool_size are opened and closed all the time."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case, is_full
from poolkeeper.diagnosis.words import cut, duration
from poolkeeper.model import CloseReason, Confidence, Finding, Severity

# Measured: 25 connects where 3 would do. A pool at rest opens next to none.
PER_CHECKOUT = 0.1
LEAST = 5


def check(case: Case) -> Iterator[Finding]:
    totals = case.lately.totals
    closed = case.lately.closed.get(CloseReason.OVERFLOW, 0)
    if min(totals.connects, closed) < LEAST or totals.connects < PER_CHECKOUT * totals.served:
        return
    if closed < totals.connects / 2:
        return
    mean = case.lately.timings.connects.mean
    yield Finding(
        code="overflow-churn",
        severity=Severity.ERROR if case.waits and not is_full(case.now) else Severity.WARNING,
        subject=case.name,
        seen=cut(
            f"{totals.connects} connects for {totals.served} checkouts within {case.lately.seconds:.0f} s,"
            f" {closed} closed again as overflow; a connect takes {duration(mean)}"
        ),
        why="callers wait for connects that are thrown away: overflow is for peaks, and this is the usual load",
        fix="Raise pool_size to what is in use and lower max_overflow by as much, so that the sum stays",
        confidence=Confidence.LIKELY,
        figures={
            "connects": totals.connects,
            "checkouts": totals.served,
            "closed_overflow": closed,
            "connect_seconds": round(mean or 0.0, 4),
        },
        unseen=case.blind(server=False),
    )
