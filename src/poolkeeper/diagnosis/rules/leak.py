"""Connections that nobody will give back: their task has ended."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.LEAKED)
    if group is None:
        return
    ended = sum(held.holder.finished for held in group.members)
    nobody = "the task has ended" if ended else "the response is sent and nobody runs it"
    yield group.finding(
        "leak",
        f"{group.counted} not given back by {group.place}: {nobody}",
        "it was opened without `async with`, or kept in an object that outlives the request",
        "Open it with `async with` at that line, or take the session from the dependency",
        Confidence.CERTAIN if ended else Confidence.LIKELY,
        statement=group.statement,
    )
