"""A pool that keeps nothing and still opens no more than so many connections at a time."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.util import await_only

from poolkeeper.errors import PoolTimeout
from poolkeeper.model import PoolCounts
from poolkeeper.pool.measured import Measured


class GatedPool(Measured, NullPool):
    """SQLAlchemy's `NullPool` behind a gate, for asyncio and for threads.

    Each use opens a connection and closes it before it returns, so that a process may be frozen in between. At most
    `pool_size` + `max_overflow` are open at once; who comes later waits, first come first served, for up to `timeout`
    seconds in which nothing is connected yet, then gets `PoolTimeout`.
    """

    def __init__(
        self, creator: Any, pool_size: int = 5, max_overflow: int = 0, timeout: float = 10.0, **arguments: Any
    ) -> None:
        super().__init__(creator, **arguments)
        self.capacity = pool_size + max_overflow
        self.timeout = timeout
        # A semaphore belongs to the event loop that first waited for it.
        self._of_loops: WeakKeyDictionary[AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._of_threads = threading.Semaphore(self.capacity)
        # How each open connection gives its seat back.
        self._seats: WeakKeyDictionary[ConnectionPoolEntry, Callable[[], None]] = WeakKeyDictionary()

    def status(self) -> str:
        return f"GatedPool: {len(self._seats)} open of {self.capacity}, {self.waiting} waiting"

    def recreate(self) -> NullPool:
        self.logger.info("Pool recreating")
        pool = type(self)(
            self._creator,
            self.capacity,
            0,
            self.timeout,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )
        # What is open stays open, and counts.
        pool._of_loops, pool._of_threads = self._of_loops, self._of_threads
        pool.observer, pool.reporter = self.observer, self.reporter
        return pool

    def _counts(self) -> PoolCounts:
        return PoolCounts(self.capacity, len(self._seats), 0, 0, 0, self.waiting)

    @property
    def is_full(self) -> bool:
        return len(self._seats) >= self.capacity

    def _do_get(self) -> ConnectionPoolEntry:
        leave = await_only(self._enter()) if self._dialect.is_async else self._enter_thread()
        try:
            record = self._create_connection()
        except BaseException:
            leave()
            raise
        self._seats[record] = leave
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            if (leave := self._seats.pop(record, None)) is not None:
                leave()

    async def _enter(self) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        free = self._of_loops.setdefault(loop, asyncio.Semaphore(self.capacity))
        try:
            async with asyncio.timeout(self.timeout):
                await free.acquire()
        except TimeoutError:
            raise self._timed_out() from None
        return free.release

    def _enter_thread(self) -> Callable[[], None]:
        if not self._of_threads.acquire(timeout=self.timeout):
            raise self._timed_out()
        return self._of_threads.release

    def _timed_out(self) -> PoolTimeout:
        return PoolTimeout(
            f"All {self.capacity} connections that may be open at once are in use; none became free in "
            f"{self.timeout:g} s, {self.waiting} wait."
        )
