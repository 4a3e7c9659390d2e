"""Wait for a connection where waiting costs no thread."""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, Semaphore
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from poolkeeper.errors import PoolTimeout
from poolkeeper.model import Report
from poolkeeper.pool.incident import Incident
from poolkeeper.pool.problems import with_report


class Door:
    """Lets in as many units of work as there are connections; the others wait on the event loop, first come first in.

    A request on a `def` endpoint keeps its connection from one worker thread to the next. Where others wait for a
    connection inside those threads, it gets none to go on with, and everybody stands still until `pool_timeout`.

    `seats` is None for no limit, `seconds` the longest wait. Raises `PoolTimeout`, as the pool would, with what
    `reporter` tells of those who have the connections.
    """

    name = "the door"
    logger = logging.getLogger("poolkeeper.pool")

    def __init__(self, seats: int | None, seconds: float) -> None:
        self._seats = seats
        self._seconds = seconds
        # A semaphore belongs to the event loop that first waited for it.
        self._free: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()
        self.waiting = 0
        self.reporter: Callable[[], Report] | None = None
        self._incident = Incident(self)

    @asynccontextmanager
    async def passed(self) -> AsyncGenerator[None]:
        """A seat for as long as the block runs."""
        if self._seats is None:
            yield
            return
        free = self._free.setdefault(asyncio.get_running_loop(), Semaphore(self._seats))
        await self._enter(free, self._seats)
        try:
            yield
        finally:
            free.release()

    async def _enter(self, free: Semaphore, seats: int) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await free.acquire()
        except TimeoutError:
            report = self._incident.report()
            message = (
                f"All {seats} connections are in use by endpoints on threads; none became free in {self._seconds:g} s."
            )
            raise PoolTimeout(with_report(report, message), report=report.full) from None
        finally:
            self.waiting -= 1
