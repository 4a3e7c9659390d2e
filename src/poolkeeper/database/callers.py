"""On whose behalf something is read and written: whoever wrote, reads what it wrote."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from poolkeeper.model import Position

_BEGAN = "poolkeeper.began"
# In the `info` of a session that writes: its caller.
WRITES_FOR = "poolkeeper.writes_for"


class Caller:
    """One caller's view of one database: what it has to see, and how much of what it committed is not yet in that.

    The position of a commit is asked for when somebody needs it, so a commit costs nothing by itself. Whatever is asked
    later lies behind the commit.
    """

    __slots__ = ("asked", "commits", "position")

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        self.commits = 0
        self.asked = 0

    @property
    def is_settled(self) -> bool:
        """Whether `position` covers every commit."""
        return self.asked >= self.commits

    def committed(self) -> None:
        """Note a commit."""
        self.commits += 1

    def settle(self, commits: int, position: Position) -> None:
        """Note a position that was taken after so many commits."""
        self.asked = max(self.asked, commits)
        self.position = position.later(self.position)


class Callers:
    """Who is calling now, for one database. A task shares its caller with the tasks and threads that it starts."""

    def __init__(self, name: str) -> None:
        self._here: ContextVar[Caller | None] = ContextVar(f"poolkeeper_caller_{name}", default=None)

    def here(self) -> Caller:
        """The caller in this context; the first to ask makes one for it."""
        caller = self._here.get()
        if caller is None:
            caller = Caller()
            self._here.set(caller)
        return caller

    @contextmanager
    def entered(self, caller: Caller) -> Generator[None]:
        """Make this the caller until the block ends, in this context."""
        token = self._here.set(caller)
        try:
            yield
        finally:
            self._here.reset(token)


def note_commits(session_class: type[Session]) -> None:
    """Have sessions of this class tell their callers of each commit of a transaction that did anything."""
    event.listen(session_class, "after_begin", _began)
    event.listen(session_class, "after_commit", _committed)
    event.listen(session_class, "after_transaction_end", _ended)


def _began(session: Session, *_rest: object) -> None:
    session.info[_BEGAN] = True


def _committed(session: Session) -> None:
    caller: Caller | None = session.info.get(WRITES_FOR)
    # The end of a savepoint is told too: what it began goes on, and its own end will be told.
    if caller is not None and session.info.get(_BEGAN):
        caller.committed()


def _ended(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_BEGAN, None)
