"""Timers for deadlines: on the event loop where there is one, on a thread of their own for sync engines."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

log = logging.getLogger("poolkeeper")

Cancel = Callable[[], None]


class Timers(Protocol):
    """Calls `action` once after `seconds`, unless the returned function is called before."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Cancel: ...


class LoopTimers:
    """Timers of the running event loop."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Cancel:
        return asyncio.get_running_loop().call_later(seconds, action).cancel


@dataclass(order=True, slots=True)
class _Timer:
    at: float
    order: int
    action: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        # It stays in the queue until its time has come; what it would have acted on need not.
        self.action = None


class ThreadTimers:
    """Timers for threads: one daemon thread serves all of them, started with the first and anew after a fork."""

    _running: bool

    def __init__(self) -> None:
        self._start_over()

    def call_later(self, seconds: float, action: Callable[[], None]) -> Cancel:
        if self._pid != os.getpid():
            self._start_over()
        timer = _Timer(time.monotonic() + seconds, next(self._order), action)
        with self._changed:
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="poolkeeper-deadlines", daemon=True).start()
            heapq.heappush(self._due, timer)
            # The thread sleeps until its earliest timer; it only needs to hear of an earlier one.
            if self._due[0] is timer:
                self._changed.notify()
        return timer.cancel

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._due: list[_Timer] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._running = False

    def _run(self) -> None:
        while True:
            try:
                self._next_due()()
            except Exception:
                # The deadlines of everybody else depend on this thread.
                log.exception("the action of a deadline failed")

    def _next_due(self) -> Callable[[], None]:
        with self._changed:
            while True:
                now = time.monotonic()
                while self._due and (self._due[0].action is None or self._due[0].at <= now):
                    if (action := heapq.heappop(self._due).action) is not None:
                        return action
                self._changed.wait(self._due[0].at - now if self._due else None)


thread_timers = ThreadTimers()
