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

    While it is shut, nobody comes in but who needs no connection of this pool. `seats` is None for no limit, `seconds`
    the longest wait. Raises `PoolTimeout`, as the pool would, with what `reporter` tells of those who have the
    connections.
    """

    name = "the door"
    logger = logging.getLogger("poolkeeper.pool")

    def __init__(self, seats: int | None, seconds: float) -> None:
        self._seats = seats
        self._seconds = seconds
        # A semaphore belongs to the event loop that first waited for it.
        self._free: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()
        # Set when it opens again; None while it is open.
        self._opening: asyncio.Event | None = None
        self.waiting = 0
        self.reporter: Callable[[], Report] | None = None
        self._incident = Incident(self)

    def shut(self) -> None:
        """Let nobody in until `open()`. On the event loop, as that is."""
        if self._opening is None:
            self._opening = asyncio.Event()

    def open(self) -> None:
        """Let in who waits, first come first in, and everybody after them."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.set()

    @asynccontextmanager
    async def passed(self, *, even_shut: bool = False) -> AsyncGenerator[None]:
        """A seat for as long as the block runs; with `even_shut` also while the door is shut."""
        opening = None if even_shut else self._opening
        if self._seats is None and opening is None:
            yield
            return
        free = None
        if self._seats is not None:
            free = self._free.setdefault(asyncio.get_running_loop(), Semaphore(self._seats))
        await self._enter(free, opening)
        try:
            yield
        finally:
            if free is not None:
                free.release()

    async def _enter(self, free: Semaphore | None, opening: asyncio.Event | None) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                if opening is not None:
                    await opening.wait()
                if free is not None:
                    await free.acquire()
        except TimeoutError:
            report = self._incident.report()
            is_shut = opening is not None and not opening.is_set()
            raise PoolTimeout(with_report(report, self._why(is_shut=is_shut)), report=report.full) from None
        finally:
            self.waiting -= 1

    def _why(self, *, is_shut: bool) -> str:
        if is_shut:
            return f"The database was suspended for longer than {self._seconds:g} s."
        return (
            f"All {self._seats} connections are in use by endpoints on threads; none became free in "
            f"{self._seconds:g} s."
        )
