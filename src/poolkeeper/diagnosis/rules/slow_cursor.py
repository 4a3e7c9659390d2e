"""Rows are fetched bit by bit, and what is done with each takes longer than fetching."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import statement
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.CURSOR)
    if group is None:
        return
    yield group.finding(
        "slow-cursor",
        f"{group.counted} of {group.place} between two fetches of a cursor: {statement(group.statement)}",
        "the connection and its transaction stay open until the last row has been worked on",
        "Fetch a page, give the connection back, then work on the rows; go on by key",
        Confidence.LIKELY,
        statement=group.statement,
        awaiting=group.awaited,
    )
