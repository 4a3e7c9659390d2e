"""Statements wait in the pooler for a server connection, while the service takes them for running."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.group import Group
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import duration
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.QUEUED)
    if group is None:
        return
    pooler = case.view.pooler
    yield group.finding(
        "pooler-queue",
        f"{group.counted} of {group.place} wait in the pooler for a server connection",
        f"{_queue(case, group)}; to the service it looks like a slow statement",
        "Shorten transactions; raise the pooler's pool_size if the server has room, or lower this pool to the same",
        Confidence.CERTAIN if pooler and case.view.pooler_queue else Confidence.POSSIBLE,
        unseen=case.blind() if pooler else ("the pooler: no facts of its console", *case.blind()),
        statement=group.statement,
        pooler_waiting=pooler.waiting if pooler else None,
        pooler_longest_wait=pooler.longest_wait if pooler else None,
        pooler_active=pooler.active if pooler else None,
        pooler_size=pooler.pool_size if pooler else None,
    )


def _queue(case: Case, group: Group) -> str:
    pooler = case.view.pooler
    if pooler is None:
        return f"the server runs {case.view.running(group.statement)} such statements, and for a moment only"
    size = "" if pooler.pool_size is None else f" of {pooler.pool_size}"
    wait = duration(pooler.longest_wait)
    return f"{pooler.waiting} clients wait there for up to {wait}, {pooler.active}{size} server connections active"
