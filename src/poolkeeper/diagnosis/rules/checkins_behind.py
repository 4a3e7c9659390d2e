"""Signal: fewer connections come back than go out, for minutes."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.change import change_between
from poolkeeper.diagnosis.words import duration
from poolkeeper.model import Confidence, Finding, Severity

# The usual alert of operation guides.
FOR = 300.0
# A history that is asked every few seconds spans a little less.
ENOUGH = 0.95
# Checkouts and returns differ by who is under way; a growth beyond that is one.
LEAST = 2


def check(case: Case) -> Iterator[Finding]:
    snapshots = case.last(FOR)
    change = change_between(snapshots[0], case.now)
    behind = change.totals.served - change.totals.returned
    if change.seconds < FOR * ENOUGH or behind < LEAST:
        return
    # It grows throughout, and not just because more is going on at this very moment.
    middle = snapshots[len(snapshots) // 2]
    if not snapshots[0].in_use < middle.in_use < case.now.in_use:
        return
    yield Finding(
        code="checkins-behind",
        severity=Severity.INFO,
        subject=case.name,
        seen=f"{change.totals.served} checkouts, {change.totals.returned} came back over {duration(change.seconds)}:"
        f" {snapshots[0].in_use} in use before, {case.now.in_use} now",
        why="what goes out faster than it comes back is a leak, or holds that grow",
        fix="Look at the oldest holders and where they checked out",
        confidence=Confidence.POSSIBLE,
        figures={"served": change.totals.served, "returned": change.totals.returned, "behind": behind},
    )
