"""Holds are long because of very many short statements."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Held, Plight
from poolkeeper.diagnosis.thresholds import LONG_IN_SQL
from poolkeeper.diagnosis.words import statement
from poolkeeper.model import Confidence, Finding

# A request runs a handful; so many are a loop.
MANY = 50


def is_one_of_many(held: Held) -> bool:
    """Whether its statement is one of a loop, and short by itself."""
    return (held.holder.statements or 0) >= MANY and held.seconds < LONG_IN_SQL


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.RUNNING, Plight.UNSEEN, where=is_one_of_many)
    if group is None:
        return
    count = max(held.holder.statements or 0 for held in group.members)
    yield group.finding(
        "many-statements",
        f"{len(group.members)} of {group.in_use} connections held by {group.place} for up to {count} statements each,"
        f" the latest {statement(group.statement)}",
        "each is short, and all of their round trips together make the hold long",
        "Ask once for all rows (selectinload, IN, a join), or insert many at once",
        Confidence.LIKELY,
        statement=group.statement,
        statements=count,
    )
