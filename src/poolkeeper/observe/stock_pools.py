"""The numbers of SQLAlchemy's own pools, which do not tell them all."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from poolkeeper.model import PoolCounts, PoolEvent, PoolEventKind
from poolkeeper.observe.recorder import Recorder
from poolkeeper.pool import Measured, guard_of, limits_of

_OF_WAITING = frozenset(
    {"waiting", "oldest_waiter", "totals.requests", "totals.waited", "totals.timed_out", "totals.cancelled"}
) | {"timings.waits"}


class StockCounts:
    """Counts the connections of an engine's pool, from its events, and tells `recorder` how connects end."""

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        self._engine, self._recorder = engine, recorder
        # Connections, not records: a pool keeps the record of a connection that it had to discard.
        self._connected: set[int] = set()
        # Tokens, not a number: `+=` loses counts when threads meet in it.
        self._connecting: set[object] = set()
        if isinstance(engine.pool, Measured):
            engine.pool.observer = recorder
        event.listen(engine, "connect", self._opened)
        event.listen(engine, "close", self._gone)
        # From here on it is its holder's alone; the pool neither counts nor closes it.
        event.listen(engine, "detach", self._gone)
        # What was opened before anybody counted.
        event.listen(engine, "checkout", self._opened)
        self._watch_connects()

    @property
    def unknown(self) -> frozenset[str]:
        """The fields of a snapshot that this pool cannot tell."""
        closes = frozenset[str]() if guard_of(self._engine) else frozenset({"closed"})
        unknown = closes | {"timings.queues"}
        return unknown if isinstance(self._engine.pool, Measured) else unknown | _OF_WAITING

    def counts(self, in_use: int) -> PoolCounts:
        """The pool's numbers, with so many checkouts."""
        pool = self._engine.pool
        watch = guard_of(self._engine)
        return PoolCounts(
            capacity=limits_of(pool).capacity,
            in_use=in_use,
            idle=max(0, len(self._connected) - in_use),
            connecting=len(self._connecting),
            checking=0,
            waiting=pool.waiting if isinstance(pool, Measured) else 0,
            opened=watch.opened if watch else self._recorder.totals().connects,
            closed=watch.closed if watch else {},
        )

    def _opened(self, dbapi: object, *_record: object) -> None:
        self._connected.add(id(dbapi))

    def _gone(self, dbapi: object, _record: ConnectionPoolEntry) -> None:
        self._connected.discard(id(dbapi))

    def _watch_connects(self) -> None:
        """The dialect's own `connect` is wrapped: no event tells of a connect that fails."""
        dialect: Any = self._engine.dialect
        plain_connect, recorder = dialect.connect, self._recorder

        def connect(*args: Any, **kwargs: Any) -> DBAPIConnection:
            token, began = object(), time.monotonic()
            self._connecting.add(token)
            recorder.notice(PoolEvent(PoolEventKind.CONNECTING, began))
            try:
                connection: DBAPIConnection = plain_connect(*args, **kwargs)
            except BaseException as error:
                now = time.monotonic()
                recorder.notice(PoolEvent(PoolEventKind.CONNECT_FAILED, now, now - began, error=error))
                raise
            finally:
                self._connecting.discard(token)
            now = time.monotonic()
            recorder.notice(PoolEvent(PoolEventKind.CONNECTED, now, now - began))
            return connection

        dialect.connect = connect
