"""Everything on a table queues behind a change of its schema, which waits for an open transaction."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.locks import blocker_of
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import cut, fit, owner_of, statement
from poolkeeper.model import Confidence, Finding, ServerSession

_DDL = ("alter", "create", "drop", "truncate", "lock", "reindex", "vacuum", "cluster", "rename", "optimize", "refresh")


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.TABLE_LOCK)
    if group is None:
        return
    root = blocker_of(case, group)
    change = _schema_change(case)
    behind = f"{cut(change.statement or '', 45)} of {owner_of(change)}" if change else "a lock on the whole table"
    told = f"{group.counted} of {group.place} queue behind {behind}"
    waits = change is not None and change.id != root.id
    yield group.finding(
        "ddl-queue",
        fit(told + (f", which waits for {root.owner}{root.state}" if waits else ""), told),
        f"a waiting schema change lets nobody pass, SELECTs neither; at the root {root.owner}{root.state};"
        f" {root.statement}",
        f"End the root{f' (session {root.id})' if root.id else ''}; run migrations with a lock_timeout of seconds and"
        " repeat them",
        Confidence.LIKELY if case.view.behind_pooler or root.session is None else Confidence.CERTAIN,
        unseen=case.blind(),
        statement=statement(group.statement),
        blocker=root.id,
        blocker_owner=root.owner,
        blocker_statement=root.shape,
        schema_change=change.statement if change else None,
    )


def _schema_change(case: Case) -> ServerSession | None:
    """The session whose schema change the others queue behind; it waits longest."""
    sessions = case.view.facts.sessions if case.view.facts else ()
    found = [one for one in sessions if one.state == "active" and (one.statement or "").lower().startswith(_DDL)]
    return max(found, key=lambda one: (bool(one.blocked_by), one.state_seconds or 0.0), default=None)
