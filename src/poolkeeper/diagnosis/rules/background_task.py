"""A connection is kept by what runs after the response."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import fit
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.BACKGROUND)
    if group is None:
        return
    awaited = group.awaited
    told = f"{group.counted} kept by {group.place} after its response: a background task"
    yield group.finding(
        "held-in-background-task",
        fit(told + (f" that awaits {awaited}" if awaited else ""), told),
        "the client has its answer, and the connection is still away for work that often does not need it",
        "Give the task ids instead of the session, and let it open its own around its statements",
        Confidence.CERTAIN if awaited else Confidence.LIKELY,
        unseen=() if awaited else ("what the task awaits",),
        statement=group.statement,
        awaiting=awaited,
    )
