"""The numbers of SQLAlchemy's own pools, which do not tell them all."""

from __future__ import annotations

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from poolkeeper.model import PoolCounts
from poolkeeper.pool import MeasuredQueuePool, guard_of


class StockCounts:
    """Counts the connections of an engine's pool, from its events."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Connections, not records: a pool keeps the record of a connection that it had to discard.
        self._connected: set[int] = set()

    def listen(self) -> None:
        """Begin to count."""
        event.listen(self._engine, "connect", self._opened)
        event.listen(self._engine, "close", self._gone)
        # From here on it is its holder's alone; the pool neither counts nor closes it.
        event.listen(self._engine, "detach", self._gone)

    def counts(self, in_use: int) -> PoolCounts:
        """The pool's numbers, with so many checkouts."""
        pool = self._engine.pool
        measured = pool if isinstance(pool, MeasuredQueuePool) else None
        watch = guard_of(self._engine)
        return PoolCounts(
            capacity=measured.capacity if measured else 1 if isinstance(pool, StaticPool) else None,
            in_use=in_use,
            idle=max(0, len(self._connected) - in_use),
            connecting=0,
            checking=0,
            waiting=measured.waiting if measured else 0,
            opened=watch.opened if watch else 0,
            closed=watch.closed if watch else {},
        )

    def _opened(self, dbapi: object, _record: ConnectionPoolEntry) -> None:
        self._connected.add(id(dbapi))

    def _gone(self, dbapi: object, _record: ConnectionPoolEntry) -> None:
        self._connected.discard(id(dbapi))
