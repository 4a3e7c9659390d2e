"""SQLAlchemy's pools, able to tell their limit, how many callers wait, and how each call ended.

No pool event marks the beginning of a wait, so that has to be noticed where the call comes in.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from sqlalchemy import exc
from sqlalchemy.pool import Pool, PoolProxiedConnection, QueuePool

from poolkeeper.model import PoolEvent, PoolEventKind, PoolObserver
from poolkeeper.pool.observers import Wait, deliver


class Measured(Pool):
    """A pool whose callers are counted. `observer` hears of requests, from the threads that make them."""

    observer: PoolObserver | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Tokens, not a number: `+=` loses counts when threads meet in it.
        self._asking: dict[object, Wait] = {}

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
        except exc.TimeoutError:
            self._note(PoolEventKind.TIMED_OUT, began)
            raise
        finally:
            del self._asking[token]
        self._note(PoolEventKind.HANDED_OVER, began)
        return connection

    def _note(self, kind: PoolEventKind, began: float) -> None:
        if self.observer is not None:
            now = time.monotonic()
            deliver(PoolEvent(kind, now, now - began), self.observer)


class MeasuredQueuePool(Measured, QueuePool):
    """The bounded pool of an `Engine`."""

    @property
    def capacity(self) -> int | None:
        """The most connections that this pool opens, or None without a limit."""
        return None if self._max_overflow < 0 else self.size() + self._max_overflow

    @property
    def is_full(self) -> bool:
        return not self.checkedin()

    def recreate(self) -> QueuePool:
        pool = super().recreate()
        if isinstance(pool, MeasuredQueuePool):
            pool.observer = self.observer
        return pool


def _caller() -> asyncio.Task[Any] | threading.Thread:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task or threading.current_thread()
