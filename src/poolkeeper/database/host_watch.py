"""Looks at one host again and again, and at once where somebody needs to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from poolkeeper.errors import CommandTimeout, ConnectFailed, ConnectFailure
from poolkeeper.model import HostState
from poolkeeper.server import KeptConnection, look_at_host, problem_of
from poolkeeper.server.sampler import Unpooled

Heard = Callable[[HostState | None, str | None], None]
# While somebody waits for a replica to catch up it is asked this often (seconds).
_HURRIED = 0.003


class HostWatch:
    """Asks a host every `every` seconds who it is and how far it has come, over a connection of its own.

    `heard` is told what each look has found, or None and the problem. A look takes at most `timeout` seconds. It
    belongs to the event loop on which it is started, until `stop()`.
    """

    def __init__(
        self, name: str, unpooled: Callable[[], Unpooled], heard: Heard, *, every: float, timeout: float
    ) -> None:
        self._name, self._heard, self._every = name, heard, every
        self._connection = KeptConnection(unpooled, timeout)
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._waiters: list[asyncio.Future[HostState | None]] = []
        self._hurried_until = 0.0
        # Whether nothing came back in time at the latest look, not even a refusal.
        self.is_silent = False

    def start(self) -> None:
        """Look now and from now on, on the running event loop."""
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name=f"poolkeeper-watch-{self._name}")

    async def stop(self) -> None:
        """End a look that is under way, and close the connection. Safe to call twice."""
        task, self._task, self._wake = self._task, None, None
        if task is None or task.done():
            return
        task.cancel()
        await asyncio.wait({task})
        self._answer(None)

    async def next(self) -> HostState | None:
        """What a look says that begins after this call; all who ask at the same time share one. None: no answer."""
        if self._wake is None:
            return None
        waiter: asyncio.Future[HostState | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        return await waiter

    def soon(self) -> None:
        """Look as soon as possible. From any thread."""
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None and not loop.is_closed():
            loop.call_soon_threadsafe(wake.set)

    def hurry(self, seconds: float) -> None:
        """Look again and again for so long. From any thread."""
        self._hurried_until = max(self._hurried_until, time.monotonic() + seconds)
        self.soon()

    async def _run(self) -> None:
        try:
            while (wake := self._wake) is not None:
                wake.clear()
                await self._look()
                await self._pause(wake)
        finally:
            await self._leave()

    async def _look(self) -> None:
        asking, self._waiters = self._waiters, []
        try:
            try:
                state, problem = await self._connection.ask(look_at_host), None
                self.is_silent = False
            except Exception as error:
                state, problem = None, problem_of(error)
                self.is_silent = _is_silence(error)
            self._heard(state, problem)
        except BaseException:
            _resolve(asking, None)
            raise
        _resolve(asking, state)

    async def _pause(self, wake: asyncio.Event) -> None:
        seconds = _HURRIED if time.monotonic() < self._hurried_until else self._every
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            return

    async def _leave(self) -> None:
        try:
            await self._connection.close()
        except Exception:
            return  # it is gone anyway

    def _answer(self, state: HostState | None) -> None:
        asking, self._waiters = self._waiters, []
        _resolve(asking, state)


def _is_silence(error: Exception) -> bool:
    is_timeout = isinstance(error, ConnectFailed) and error.reason is ConnectFailure.TIMEOUT
    return is_timeout or isinstance(error, TimeoutError | CommandTimeout)


def _resolve(waiters: list[asyncio.Future[HostState | None]], state: HostState | None) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(state)
