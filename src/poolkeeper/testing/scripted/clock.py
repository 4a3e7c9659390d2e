"""Time that passes only when nothing else can happen."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to its next timer when it has nothing else to do, so that waiting takes no time.

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test())

    While it runs, `time.monotonic` tells its time. Nothing outside the process may take part, for that would need time
    that really passes: it is for a `ScriptedDatabase`. A loop that has nothing to wait for raises a RuntimeError.
    """

    def __init__(self) -> None:
        self._now = time.monotonic()
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def run_forever(self) -> None:
        original, time.monotonic = time.monotonic, self.time
        try:
            super().run_forever()
        finally:
            time.monotonic = original


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing is left that could happen")
        self._loop.jump(timeout)
        return []
