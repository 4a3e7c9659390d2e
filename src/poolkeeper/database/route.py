"""Where one read session goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Engine, exc

from poolkeeper.database.callers import Caller
from poolkeeper.drivers import sqlstate_of
from poolkeeper.errors import CommandTimeout, ConnectFailed, PoolClosed, PoolTimeout
from poolkeeper.facts import sqlstates
from poolkeeper.model import Position
from poolkeeper.settings.effective import Kind

if TYPE_CHECKING:
    from poolkeeper.database.replica_host import ReplicaHost
    from poolkeeper.database.routing import Router

# A replica cancels what keeps it from following its primary. It also says so with the code of a deadlock.
_CONFLICTS = sqlstates.SERIALIZATION_FAILURE.value | sqlstates.DEADLOCK.value


class Route:
    """Decided when the session first needs a connection, and then once; another host only where that one fails it."""

    def __init__(self, router: Router, kind: Kind, caller: Caller, after: Position | None) -> None:
        self.caller = caller
        self.after = after
        self.has_answered = False
        # Hosts that failed this session.
        self.left: list[ReplicaHost] = []
        self.only_primary = False
        self.host: ReplicaHost | None = None
        self._router = router
        self._kind: Kind = kind
        self._is_decided = False

    def engine(self) -> Engine:
        """The engine of the host that it goes to."""
        if not self._is_decided:
            self.host = None if self.only_primary else self._router.decide(self)
            self._is_decided = True
            if self.host is not None:
                self.host.sessions.add(self)
        return self._router.engine_of(self.host, self._kind)

    def leave_for(self, error: Exception) -> bool:
        """Whether to try another host, after this one failed the session before anything was returned.

        After a conflict with recovery it is the primary: the others replay the same log.
        """
        host = self.host
        if host is None or self.has_answered:
            return False
        if not is_conflict(error):
            if not is_failure_of_host(error):
                return False
            host.failed()
        else:
            host.conflicts += 1
            self.only_primary = True
        host.moved += 1
        self.left.append(host)
        self.end()
        return True

    def end(self) -> None:
        """The session needs its host no more."""
        if self.host is not None:
            self.host.sessions.discard(self)
        self.host, self._is_decided = None, False


def is_conflict(error: Exception) -> bool:
    """Whether a replica cancelled a read in order to go on replaying."""
    return sqlstate_of(error) in _CONFLICTS


def is_failure_of_host(error: Exception) -> bool:
    """Whether there was no connection to be had, or it broke. A full pool, or a slow answer, is none."""
    match error:
        case ConnectFailed() | PoolClosed():
            return True
        case PoolTimeout():
            return isinstance(error.__cause__, ConnectFailed)
        case CommandTimeout():
            return False
        case exc.DBAPIError():
            return error.connection_invalidated
        case _:
            return False
