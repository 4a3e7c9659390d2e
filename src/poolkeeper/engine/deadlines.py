"""Timers for deadlines: on the event loop where there is one, on a thread of their own for sync engines."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

Cancel = Callable[[], None]


class Timers(Protocol):
    """Calls `action` once after `seconds`, unless the returned function is called before."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Cancel: ...


class LoopTimers:
    """Timers of the running event loop."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Cancel:
        return asyncio.get_running_loop().call_later(seconds, action).cancel


class ThreadTimers:
    """Timers for threads: one daemon thread serves all of them, started with the first and anew after a fork."""

    _running: bool

    def __init__(self) -> None:
        self._start_over()

    def call_later(self, seconds: float, action: Callable[[], None]) -> Cancel:
        if self._pid != os.getpid():
            self._start_over()
        cancelled = threading.Event()
        with self._changed:
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="poolkeeper-deadlines", daemon=True).start()
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), action, cancelled))
            # The thread sleeps until its earliest timer; it only needs to hear of an earlier one.
            if self._due[0][3] is cancelled:
                self._changed.notify()
        return cancelled.set

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._due: list[tuple[float, int, Callable[[], None], threading.Event]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._running = False

    def _run(self) -> None:
        while True:
            self._next_due()()

    def _next_due(self) -> Callable[[], None]:
        with self._changed:
            while True:
                now = time.monotonic()
                while self._due and (self._due[0][3].is_set() or self._due[0][0] <= now):
                    _, _, action, cancelled = heapq.heappop(self._due)
                    if not cancelled.is_set():
                        return action
                self._changed.wait(self._due[0][0] - now if self._due else None)


thread_timers = ThreadTimers()
