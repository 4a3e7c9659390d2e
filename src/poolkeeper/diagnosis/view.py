"""The server's sessions, found for the pool's holders."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.diagnosis.thresholds import FACTS_FRESH
from poolkeeper.model import Holder, PoolerFacts, PoolSnapshot, ServerFacts, ServerSession

_BUSY = frozenset({"active", "fastpath function call"})


def is_busy(session: ServerSession) -> bool:
    """Whether a statement is under way in it."""
    return session.state in _BUSY


class View:
    """What the facts tell about the holders of one moment; without fresh facts nothing.

    Behind a pooler no holder knows its session. Then it is looked for by its statement.
    """

    def __init__(self, moment: PoolSnapshot, facts: ServerFacts | None, *, unanswered: bool = False) -> None:
        self.moment, self.unanswered = moment, unanswered
        self.stale = facts is not None and not abs(moment.at - facts.at) <= FACTS_FRESH
        self.facts = None if self.stale else facts
        sessions = self.facts.sessions if self.facts else ()
        self._by_id = {session.id: session for session in sessions}
        self._by_statement = _by_statement(sessions)
        backends = [holder.backend for holder in moment.holders if holder.backend is not None]
        self._own = {holder.backend: holder for holder in moment.holders if holder.backend in self._by_id}
        shapes = {holder.statement for holder in moment.holders if holder.in_sql and holder.statement}
        known_by_shape = bool(shapes & self._by_statement.keys())
        self.behind_pooler = (
            not self._own and bool(moment.holders) and (self.pooler is not None or (bool(backends) and known_by_shape))
        )

    @property
    def pooler(self) -> PoolerFacts | None:
        return self.facts.pooler if self.facts else None

    @property
    def pooler_queue(self) -> int:
        """Clients that wait in the pooler that we go through; 0 where none is known."""
        return self.pooler.waiting if self.pooler and self.behind_pooler else 0

    def can_find(self, holder: Holder) -> bool:
        """Whether the server would show this holder's session if there was one."""
        return self.facts is not None and not self.behind_pooler and holder.backend is not None

    def session(self, holder: Holder) -> ServerSession | None:
        """The holder's session, or where a pooler stands between, one that runs the same statement."""
        if not self.behind_pooler:
            return self._by_id.get(holder.backend) if holder.backend is not None else None
        running = self._by_statement.get(holder.statement or "", ())
        return running[0] if running else None

    def waited_at_the_look(self, seconds: float) -> float:
        """For how long somebody who waits for so many seconds now had waited when the server was looked at."""
        return seconds if self.facts is None else seconds - (self.moment.at - self.facts.at)

    def running(self, statement: str | None) -> int:
        """How many sessions run this statement."""
        return len(self._by_statement.get(statement or "", ()))

    def holder_of(self, session: ServerSession) -> Holder | None:
        """The holder of this pool whose session it is."""
        return self._own.get(session.id)


def _by_statement(sessions: Iterable[ServerSession]) -> dict[str, tuple[ServerSession, ...]]:
    """What runs, by its statement: those that are blocked first, then those that run longest."""
    found: dict[str, list[ServerSession]] = {}
    for session in sessions:
        if is_busy(session) and session.statement:
            found.setdefault(session.statement, []).append(session)
    return {
        shape: tuple(sorted(running, key=lambda one: (not one.blocked_by, -(one.state_seconds or 0.0), one.id)))
        for shape, running in found.items()
    }
