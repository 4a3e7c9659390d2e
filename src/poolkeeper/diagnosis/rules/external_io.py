"""A connection is kept while the task awaits something that is not the database."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import fit, without_called
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.OUTSIDE)
    if group is None:
        return
    awaited = group.awaited
    inside = any(held.holder.in_transaction for held in group.members)
    held = f"{group.counted} {'in an open transaction ' if inside else ''}of {group.place}"
    brief = f"{len(group.members)} of {group.in_use} connections: {group.place}"
    yield group.finding(
        "held-across-external-io",
        fit(*(text for what in _doing(awaited) for text in (f"{held} that {what}", f"{brief} {what}"))),
        "the database waits for the service: other requests have no connection"
        + (", and its locks and row versions stay" if inside else ""),
        "Commit or close the session before that call, and open it again afterwards",
        Confidence.CERTAIN if awaited else Confidence.LIKELY,
        unseen=() if awaited else ("what the task awaits",),
        statement=group.statement,
        awaiting=awaited,
    )


def _doing(awaited: str | None) -> tuple[str, ...]:
    return (f"awaits {awaited}", f"awaits {without_called(awaited)}") if awaited else ("runs no statement",)
