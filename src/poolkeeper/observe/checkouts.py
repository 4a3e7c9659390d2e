"""Who has which connection: a register of an engine's checkouts, kept by SQLAlchemy's pool events."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from poolkeeper.model import Holder, PoolSnapshot
from poolkeeper.observe.request import current_scope, route_of
from poolkeeper.observe.stock_pools import StockCounts
from poolkeeper.pool import KeeperPool


# Not frozen: that would make each checkout a microsecond dearer.
@dataclass(slots=True, eq=False)
class Checkout:
    """One connection in somebody's hands since `started` (on the monotonic clock). `thread` is empty in a task."""

    task: asyncio.Task[Any] | None
    thread: str
    scope: Mapping[str, Any] | None
    started: float
    driver_connection: Any

    def holder(self, now: float) -> Holder:
        name = self.task.get_name() if self.task is not None else self.thread
        return Holder(task=name, route=route_of(self.scope), seconds=now - self.started)


class Checkouts:
    """The register. Entries are added and removed by the pool itself, so it cannot disagree with the pool."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: dict[ConnectionPoolEntry, Checkout] = {}
        self._unwanted: set[ConnectionPoolEntry] = set()
        self._stock = StockCounts(engine)
        if isinstance(engine.pool, KeeperPool):
            self._plain_description = engine.pool.describe_holder
            engine.pool.describe_holder = self._describe
        else:
            self._stock.listen()
        event.listen(engine, "checkout", self._checked_out)
        event.listen(engine, "checkin", self._returned)
        event.listen(engine, "detach", self._detached)

    def open(self) -> tuple[Checkout, ...]:
        """The checkouts of this moment, the longest held first."""
        return tuple(sorted(self._open.values(), key=lambda checkout: checkout.started))

    def discard_on_return(self) -> None:
        """Close the connections that are out now when they come back, instead of keeping them.

        `Engine.dispose()` of a stock pool forgets them: they return to a pool that nobody uses or closes any more.
        """
        if not isinstance(self._engine.pool, KeeperPool):
            self._unwanted.update(self._open)

    def snapshot(self, name: str) -> PoolSnapshot:
        """The pool's numbers and holders at this moment."""
        now = time.monotonic()
        holders = tuple(checkout.holder(now) for checkout in self.open())
        pool = self._engine.pool
        counts = pool.counts() if isinstance(pool, KeeperPool) else self._stock.counts(len(holders))
        return PoolSnapshot(
            name=name,
            capacity=counts.capacity,
            in_use=counts.in_use,
            idle=counts.idle,
            waiting=counts.waiting,
            connecting=counts.connecting,
            checking=counts.checking,
            opened=counts.opened,
            closed=counts.closed,
            holders=holders,
        )

    def _describe(self, record: Any) -> str:
        checkout = self._open.get(record)
        return str(checkout.holder(time.monotonic())) if checkout is not None else self._plain_description(record)

    def _checked_out(self, _dbapi: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        task = _current_task()
        thread = "" if task is not None else threading.current_thread().name
        self._open[record] = Checkout(task, thread, current_scope.get(), time.monotonic(), proxy.driver_connection)

    def _returned(self, _dbapi: Any, record: ConnectionPoolEntry) -> None:
        self._open.pop(record, None)
        if self._unwanted and record in self._unwanted:
            self._unwanted.discard(record)
            record.invalidate()

    def _detached(self, _dbapi: object, record: ConnectionPoolEntry) -> None:
        self._open.pop(record, None)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
