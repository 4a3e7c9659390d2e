"""An event loop in a thread of its own, so that no test's loop is ever blocked by the proxy, nor blocks it."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_HIGHEST_SELECTABLE = 1023


if sys.platform == "linux":

    class _PreciseSelector(selectors.EpollSelector):
        """Waits with select(2) on epoll's own descriptor: that takes microseconds, epoll_wait(2) whole milliseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            number = self.fileno()
            if timeout and timeout > 0 and number <= _HIGHEST_SELECTABLE:
                select.select([number], [], [], timeout)
                timeout = 0
            return super().select(timeout)

else:
    _PreciseSelector = selectors.DefaultSelector


class LoopThread:
    """Runs coroutines in its own thread and hands back their results."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.SelectorEventLoop(_PreciseSelector())
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result. Blocks the caller, so give it nothing that waits for the network."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """End the thread. What still runs in it must have been ended before."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
