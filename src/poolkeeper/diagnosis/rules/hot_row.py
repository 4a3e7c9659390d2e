"""Short transactions of the service itself queue for one row."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.group import Group
from poolkeeper.diagnosis.locks import Blocker, blockers_of
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.thresholds import LONG_GAP, OLD_LOCK_WAIT
from poolkeeper.diagnosis.words import statement
from poolkeeper.model import Confidence, Finding


def is_hot(case: Case, group: Group) -> bool:
    """Whether they wait for each other only, and each blocker is about to go on."""
    blockers = blockers_of(case, group)
    return bool(blockers) and all(_goes_on(blocker) for blocker in blockers)


def _goes_on(blocker: Blocker) -> bool:
    """Whether it is ours, and neither pauses nor is old."""
    held = blocker.held
    return held is not None and held.seconds < LONG_GAP and held.holder.seconds < OLD_LOCK_WAIT


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.ROW_LOCK)
    if group is None or not is_hot(case, group):
        return
    yield group.finding(
        "hot-row",
        f"{group.counted} of {group.place} queue for the same row, behind each other: {statement(group.statement)}",
        "one row takes one transaction at a time; more connections only make the queue longer",
        "Update that row last in its transaction and commit at once; batch the changes, or spread them over several"
        " rows (SKIP LOCKED for queues)",
        Confidence.LIKELY,
        unseen=case.blind(),
        statement=group.statement,
    )
