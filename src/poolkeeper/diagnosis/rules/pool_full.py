"""Signal: every connection that the pool may have is checked out."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case, is_full
from poolkeeper.diagnosis.words import duration
from poolkeeper.model import Confidence, Finding, Severity

# In snapshots a full pool may be a coincidence, for so long it is not.
FOR = 10.0


def check(case: Case) -> Iterator[Finding]:
    now = case.now
    if not is_full(now):
        return
    lasting = case.last(FOR)
    seconds = now.at - lasting[0].at
    lasts = seconds >= FOR and all(is_full(snapshot) for snapshot in lasting)
    if not lasts and not now.waiting:
        return
    yield Finding(
        code="pool-full",
        severity=Severity.WARNING if now.waiting else Severity.INFO,
        subject=case.name,
        seen=f"checked out = size + overflow ({now.in_use} of {now.capacity})"
        + (f" for {duration(seconds)}" if lasts else "")
        + (f", {now.waiting} waiting" if now.waiting else ""),
        why="whoever comes next has to wait until a connection is given back",
        fix="See the causes above; without one, look at who holds connections, and for how long",
        confidence=Confidence.CERTAIN,
        figures={"in_use": now.in_use, "capacity": now.capacity or 0, "waiting": now.waiting},
        unseen=case.blind(server=False),
    )
