"""More callers came at once than there are connections, for a moment."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case, is_full
from poolkeeper.diagnosis.thresholds import NOTICEABLE_WAIT
from poolkeeper.diagnosis.words import cut, duration
from poolkeeper.model import Confidence, Finding, Severity


def check(case: Case) -> Iterator[Finding]:
    change = case.lately
    p95 = change.timings.waits.quantile(0.95) or 0.0
    if not change.unserved and (p95 < NOTICEABLE_WAIT or _waited_for_connects(case)):
        return
    most = max(snapshot.waiting for snapshot in case.recent)
    queue = f", up to {most} seen waiting at once" if most else ""
    hold = change.timings.holds.mean
    yield Finding(
        code="burst",
        severity=Severity.WARNING if change.unserved else Severity.INFO,
        subject=case.name,
        seen=cut(
            f"p95 wait {duration(p95)} within {change.seconds:.0f} s{queue}; {change.unserved} let down;"
            f" mean hold {duration(hold)}"
        ),
        why="the connections suffice on average; a short peak has to queue",
        fix="Leave it if the wait is bearable; else smooth the peak at its source, or allow a few more connections",
        confidence=Confidence.POSSIBLE,
        figures={
            "wait_p95_seconds": round(p95, 4),
            "unserved": change.unserved,
            "most_waiting": most,
            "hold_seconds": round(hold or 0.0, 4),
        },
        unseen=case.blind(rates=True),
    )


def _waited_for_connects(case: Case) -> bool:
    """Whether the waits are as long as connects, with room in the pool: it grows, as it does after a start."""
    if any(is_full(snapshot) for snapshot in case.recent):
        return False
    waits, connects = case.lately.timings.waits, case.lately.timings.connects
    return (connects.quantile(0.95) or 0.0) >= 0.5 * (waits.quantile(0.95) or 0.0)
