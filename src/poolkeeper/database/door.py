"""Wait for a connection where waiting costs no thread."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Semaphore
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from poolkeeper.errors import PoolTimeout


class Door:
    """Lets in as many units of work as there are connections; the others wait on the event loop, first come first in.

    A request on a `def` endpoint keeps its connection from one worker thread to the next. Where others wait for a
    connection inside those threads, it gets none to go on with, and everybody stands still until `pool_timeout`.

    `seats` is None for no limit, `seconds` the longest wait. Raises `PoolTimeout`, as the pool would.
    """

    def __init__(self, seats: int | None, seconds: float) -> None:
        self._seats = seats
        self._seconds = seconds
        # A semaphore belongs to the event loop that first waited for it.
        self._free: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()
        self.waiting = 0

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
            raise PoolTimeout(
                f"All {seats} connections are in use by endpoints on threads; none became free in {self._seconds:g} s."
            ) from None
        finally:
            self.waiting -= 1
