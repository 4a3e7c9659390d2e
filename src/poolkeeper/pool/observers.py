"""Who hears of a pool beside its observer, and what it is told about those who wait."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from poolkeeper.model import PoolEvent, PoolObserver

if TYPE_CHECKING:
    from poolkeeper.pool.record import KeeperRecord


log = logging.getLogger("poolkeeper.pool")

# The kinds of observers that have raised: written down once, not at each event.
_faulty: weakref.WeakSet[type] = weakref.WeakSet()


class Wait(NamedTuple):
    """Somebody who waits for a connection since `since` on the monotonic clock."""

    who: asyncio.Task[Any] | threading.Thread | None
    since: float


class Register(Protocol):
    """Keeps who has which connection of a `KeeperPool`.

    What every checkout comes to is told by calls that cost less than an event, on the pool's event loop: it must be
    quick and not raise.
    """

    def asked(self) -> None:
        """Somebody asks for a connection, and there is none at once."""
        ...

    def taken(self, record: KeeperRecord, waited: float) -> None:
        """The running task has this connection now, after so many seconds; 0 is at once."""
        ...

    def returned(self, record: KeeperRecord, held: float) -> None:
        """It is given back, after so many seconds; the connection in it may be gone."""
        ...

    def notice(self, event: PoolEvent) -> None:
        """Every other event."""
        ...

    def asking_at(self) -> str | None:
        """The line of the service that the running task asks for a connection at; None if it is not known."""
        ...


def deliver(event: PoolEvent, hearer: PoolObserver | Register) -> None:
    """Let it hear the event. An exception of its own goes to the log: it must not cost a caller the connection."""
    try:
        hearer.notice(event)
    except Exception:
        if (kind := type(hearer)) not in _faulty:
            _faulty.add(kind)
            log.exception(
                "%s raised at %r: what it tells of the pool is incomplete", kind.__qualname__, event.kind.value
            )
