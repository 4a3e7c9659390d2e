"""SQLAlchemy's pools, able to tell their limit, how many callers wait, and how each call ended.

No pool event marks the beginning of a wait, so that has to be noticed where the call comes in.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import exc
from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolProxiedConnection, QueuePool

from poolkeeper.errors import PoolTimeout
from poolkeeper.model import PoolCounts, PoolEvent, PoolEventKind, PoolObserver, Report
from poolkeeper.pool.incident import Incident
from poolkeeper.pool.observers import Wait, deliver
from poolkeeper.pool.problems import with_report


class Measured(Pool):
    """A pool whose callers are counted. `observer` hears of requests, from the threads that make them."""

    observer: PoolObserver | None = None
    # Tells those who time out who holds the connections, and why.
    reporter: Callable[[], Report] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._incident = Incident(self)
        # Tokens, not a number: `+=` loses counts when threads meet in it.
        self._asking: dict[object, Wait] = {}

    @property
    def name(self) -> str:
        kind = type(self).__name__
        return f"{kind} {self._orig_logging_name}" if self._orig_logging_name else kind

    @property
    def waiting(self) -> int:
        """Calls to `connect()` that have not returned."""
        return len(self._asking)

    def waits(self) -> list[Wait]:
        """Who waits, and since when."""
        return list(self._asking.values())

    @property
    def is_full(self) -> bool:
        """Whether the next caller may have to wait."""
        raise NotImplementedError

    def connect(self) -> PoolProxiedConnection:
        token, began = object(), time.monotonic()
        self._asking[token] = Wait(_caller(), began)
        self._note(PoolEventKind.REQUESTED, began)
        if self.is_full:
            self._note(PoolEventKind.WAITING, began)
        try:
            connection = super().connect()
        except exc.TimeoutError as error:
            self._note(PoolEventKind.TIMED_OUT, began)
            report = self._incident.report()
            raise PoolTimeout(with_report(report, str(error.args[0])), self._counts(), report.full) from None
        finally:
            del self._asking[token]
        self._note(PoolEventKind.HANDED_OVER, began)
        return connection

    def _counts(self) -> PoolCounts | None:
        """The pool's numbers, as far as it has any."""
        return None

    def _note(self, kind: PoolEventKind, began: float) -> None:
        if self.observer is not None:
            now = time.monotonic()
            deliver(PoolEvent(kind, now, now - began), self.observer)


class MeasuredQueuePool(Measured, QueuePool):
    """The bounded pool of an `Engine`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_open = threading.Event()
        self._is_open.set()

    @property
    def capacity(self) -> int | None:
        """The most connections that this pool opens, or None without a limit."""
        return None if self._max_overflow < 0 else self.size() + self._max_overflow

    @property
    def is_full(self) -> bool:
        return not self.checkedin() or not self._is_open.is_set()

    def suspend(self) -> None:
        """Hand out nothing until `resume()`. Connections in use stay so; callers wait, up to `timeout`."""
        self._is_open.clear()

    def resume(self) -> None:
        """Serve those who wait, who then have `timeout` as if they asked now, and everybody after them."""
        self._is_open.set()

    def _do_get(self) -> ConnectionPoolEntry:
        while True:
            if not self._is_open.wait(self._timeout):
                raise exc.TimeoutError(f"{self.name} was suspended for longer than its timeout of {self._timeout:g} s")
            record = super()._do_get()
            if self._is_open.is_set():
                return record
            # It was suspended while this caller waited for others.
            self._do_return_conn(record)

    def _counts(self) -> PoolCounts:
        # What is being opened or checked counts as in use here.
        return PoolCounts(self.capacity, self.checkedout(), self.checkedin(), 0, 0, self.waiting)

    def recreate(self) -> QueuePool:
        pool = super().recreate()
        if isinstance(pool, MeasuredQueuePool):
            pool.observer, pool.reporter = self.observer, self.reporter
            pool._is_open = self._is_open
        return pool


def _caller() -> asyncio.Task[Any] | threading.Thread:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task or threading.current_thread()
