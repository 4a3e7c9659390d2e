"""Connections that were never given back, found by the garbage collector."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import duration, number
from poolkeeper.model import CloseReason, Confidence, Finding, Severity


def check(case: Case) -> Iterator[Finding]:
    change = case.overall
    leaked = change.closed.get(CloseReason.LEAKED, 0)
    if leaked < 1:
        return
    yield Finding(
        code="leak-collected",
        severity=Severity.WARNING,
        subject=case.name,
        seen=f"{number(leaked, 'connection')} found by the garbage collector within {duration(change.seconds)}, then"
        " closed",
        why="the places come back, by chance and late, and each costs a connect; the log names their checkouts",
        fix="Open sessions with `async with`; fail tests on leaks (poolkeeper.testing)",
        confidence=Confidence.CERTAIN,
        figures={"leaked": leaked, "seconds": round(change.seconds, 1)},
        unseen=("who had them",),
    )
