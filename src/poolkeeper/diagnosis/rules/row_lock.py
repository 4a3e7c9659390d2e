"""Statements wait for rows that another transaction has changed and not yet committed."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.locks import Blocker, blocker_of
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.rules.hot_row import is_hot
from poolkeeper.diagnosis.words import awaited_by, cut, fit
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.ROW_LOCK)
    if group is None or is_hot(case, group):
        return
    root = blocker_of(case, group)
    awaited = awaited_by(root.held.holder) if root.held else None
    yield group.finding(
        "row-lock-wait",
        fit(
            f"{group.counted} of {group.place} wait for a row lock of {root.owner}{root.state}",
            f"{len(group.members)} of {group.in_use} connections: {group.place} wait for {_briefly(root)}{root.state}",
        ),
        f"the blocker has to commit or roll back first; {root.statement}"
        + (f"; it awaits {awaited}" if awaited else ""),
        "Commit before anything slow in that transaction, "
        + ("" if root.is_ours else f"or end it (session {root.id}); ")
        + "set lock_timeout so that waiters give up",
        Confidence.LIKELY if case.view.behind_pooler or root.session is None else Confidence.CERTAIN,
        unseen=case.blind(),
        statement=group.statement,
        blocker=root.id,
        blocker_owner=root.owner,
        blocker_application=root.application,
        blocker_statement=root.shape,
    )


def _briefly(root: Blocker) -> str:
    if root.is_ours or root.application is None:
        return root.owner
    return f'session {root.id} of "{cut(root.application, 30)}"'
