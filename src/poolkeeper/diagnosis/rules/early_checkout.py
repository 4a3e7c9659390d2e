"""A connection is taken long before it is used."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import fit
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.EARLY)
    if group is None:
        return
    awaited = group.awaited
    told = f"{group.counted} of {group.place} without any statement yet"
    yield group.finding(
        "checked-out-early",
        fit(told + (f"; it awaits {awaited}" if awaited else ""), told),
        "what runs before the first statement does not need the connection, and others wait for it",
        "Open it right before the first statement (a session connects by itself then; engine.connect() at once)",
        Confidence.CERTAIN,
        unseen=() if awaited else ("what the task awaits",),
        awaiting=awaited,
    )
