"""Work that ends in time whatever the server does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, ClassVar, Generic, TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
CutOff = Callable[[asyncio.Task[Any]], bool]
# What was cut off may await something else before it ends, as the goodbye to a server does.
_STEP = 0.05


class Bounded(Generic[T]):
    """A task for `work`, which is ended after `seconds`, or sooner by `end()`.

    `cut_off` fails what the task awaits from the server, and returns False where it awaits nothing from it: the task is
    cancelled then. Cancelling alone makes some drivers ask a silent server to cancel, and wait for that.
    """

    def __init__(self, work: Coroutine[Any, Any, T], seconds: float, cut_off: CutOff) -> None:
        self.loop = asyncio.get_running_loop()
        self.task = self.loop.create_task(work, name="poolkeeper-looks")
        self.was_ended = False
        self._cut_off = cut_off
        self._alarm = self.loop.call_later(seconds, self.end)
        self.task.add_done_callback(self._stop)

    def end(self) -> None:
        """End it now, in as many steps as that takes. Does not wait."""
        if self.task.done():
            return
        self.was_ended = True
        self._alarm.cancel()
        if not self._cut_off(self.task):
            self.task.cancel()
        self._alarm = self.loop.call_later(_STEP, self.end)

    def error(self) -> BaseException | None:
        """Why there is no result, once it has ended. Whatever it met on its way to an early end is a `TimeoutError`."""
        if self.task.cancelled():
            return TimeoutError()
        error = self.task.exception()
        return TimeoutError() if error is not None and self.was_ended else error

    def _stop(self, task: asyncio.Task[T]) -> None:
        self._alarm.cancel()
        # Reading its error here keeps asyncio from reporting it as never retrieved.
        _ = task.cancelled() or task.exception()


class Blocking:
    """Blocking work in a thread, which `cut_off` ends by aborting the connections that it works on.

    While it has none yet, it is left behind: it ends when it gets one, and at the latest with the connect timeout.
    """

    _here: ClassVar[ContextVar[Blocking]] = ContextVar("poolkeeper_blocking")

    def __init__(self, abort: Callable[[Any], object]) -> None:
        self._abort = abort
        self._connections: list[Any] = []
        self._was_cut_off = False

    async def run(self, work: Callable[[], T]) -> T:
        """The result of the work, which learns through `connected_here` whom it belongs to."""

        def in_thread() -> T:
            self._here.set(self)
            return work()

        # A limiter of its own: endpoints that wait for the pool may have taken every thread of the common one.
        return await to_thread.run_sync(in_thread, abandon_on_cancel=True, limiter=CapacityLimiter(1))

    @classmethod
    def connected_here(cls, connection: Any) -> None:
        """To be called from the work with each driver's connection that it opens."""
        blocking = cls._here.get(None)
        if blocking is None:
            return
        blocking._connections.append(connection)
        if blocking._was_cut_off:
            blocking._abort(connection)

    def cut_off(self, _task: asyncio.Task[Any]) -> bool:
        """Abort what it has opened; False where that is nothing new."""
        self._was_cut_off = True
        if not self._connections:
            return False
        self._abort(self._connections.pop())
        return True
