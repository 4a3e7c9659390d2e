"""Who keeps others waiting on the server."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.group import Group
from poolkeeper.diagnosis.plight import Held
from poolkeeper.diagnosis.words import owner_of, place_of, state_of, statement
from poolkeeper.model import ServerSession

# What PostgreSQL calls the session of a prepared transaction: it has none.
_PREPARED = 0


@dataclass(frozen=True, slots=True)
class Blocker:
    """The end of the chain that most of a group wait for: a session, seen or not, and the holder if it is ours."""

    id: int | None
    session: ServerSession | None = None
    held: Held | None = None

    @property
    def owner(self) -> str:
        if self.held is not None:
            return f"{place_of(self.held.holder)} (our session {self.id})"
        if self.session is not None:
            return owner_of(self.session)
        return "a prepared transaction" if self.id == _PREPARED else f"session {self.id or 'unknown'}"

    @property
    def state(self) -> str:
        return f", {state_of(self.session)}" if self.session else ""

    @property
    def statement(self) -> str:
        """Its last statement, in words."""
        if self.session is None or not self.session.statement:
            return "its statement is not seen"
        return f"its statement: {statement(self.session.statement)}"

    @property
    def is_ours(self) -> bool:
        return self.held is not None

    @property
    def application(self) -> str | None:
        return self.session.application or self.session.user if self.session else None

    @property
    def shape(self) -> str | None:
        return self.session.statement if self.session else None


def blocker_of(case: Case, group: Group) -> Blocker:
    """Who blocks most of them, in the end."""
    found = [_root_of(case, held.session) for held in group.members if held.session is not None]
    ids = Counter(blocker.id for blocker in found if blocker.id is not None)
    if not ids:
        return Blocker(None)
    wanted = ids.most_common(1)[0][0]
    return next(blocker for blocker in found if blocker.id == wanted)


def blockers_of(case: Case, group: Group) -> list[Blocker]:
    """Who blocks each of them, in the end."""
    return [_root_of(case, held.session) for held in group.members if held.session is not None]


def _root_of(case: Case, session: ServerSession) -> Blocker:
    facts = case.view.facts
    root = facts.root_of(session) if facts else None
    if root is None:
        return Blocker(session.blocked_by[0] if session.blocked_by else None)
    ours = case.view.holder_of(root)
    held = next((held for held in case.held if held.holder is ours), None) if ours else None
    return Blocker(root.id, root, held)
