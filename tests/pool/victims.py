"""Tasks that are cancelled, in every way in which a task can be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import anyio

Work = Callable[[], Awaitable[object]]
# So many turns of the loop a task may take to end, before what it may be waiting for is let go.
_TURNS = 10
WAYS = ("task", "timeout", "scope", "thrice")


class Victim:
    """A task that runs `work` until `strike`. "thrice" is cancelled again while it handles the first cancellation."""

    def __init__(self, way: str, work: Work) -> None:
        self._way = way
        self._work = work
        self._timeout = asyncio.timeout(None)
        self._scope: anyio.CancelScope | None = None
        self.task = asyncio.create_task(self._run(), name="victim")

    async def _run(self) -> None:
        if self._way == "timeout":
            async with self._timeout:
                await self._work()
        elif self._way == "scope":
            with anyio.CancelScope() as self._scope:
                await self._work()
        else:
            await self._work()

    def strike(self) -> None:
        """Cancel it, unless it has ended: some drivers close without an answer. Nothing else runs meanwhile."""
        if self.task.done():
            return
        if self._way == "timeout":
            self._timeout.reschedule(asyncio.get_running_loop().time())
        elif self._way == "scope" and self._scope is not None:
            self._scope.cancel()
        else:
            self.task.cancel()

    async def ended(self, release: Callable[[], None] | None = None) -> None:
        """Wait for its end, of which only the cancellation is no error.

        SQLAlchemy lets a cancelled task finish what it does to bring its connection home: `release` lets it.
        """
        for _ in range(2 if self._way == "thrice" else 0):
            await asyncio.sleep(0)
            self.task.cancel()
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if release is not None:
            release()
        await asyncio.wait([self.task])
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await self.task

    async def struck(self, release: Callable[[], None] | None = None) -> None:
        self.strike()
        await self.ended(release)
