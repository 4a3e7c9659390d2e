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
from functools import partial
from typing import Protocol

log = logging.getLogger("poolkeeper")

Cancel = Callable[[], object]


class Timers(Protocol):
    """Calls `action` once after `seconds`, unless the returned function is called before."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Cancel: ...


class LoopTimers:
    """Timers of the running event loop: one of the loop's own for all that have the same duration.

    Nearly every one is cancelled long before its time, and those of a duration are due in the order of their beginning.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rows: dict[float, _Row] = {}

    def call_later(self, seconds: float, action: Callable[[], None]) -> Cancel:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._rows = loop, {}
        row = self._rows.get(seconds)
        if row is None:
            row = self._rows[seconds] = _Row(loop, seconds)
        return row.add(action)


class _Row:
    """Timers of one duration on one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._waiting: dict[object, tuple[float, Callable[[], None]]] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, action: Callable[[], None]) -> Cancel:
        key = object()
        self._waiting[key] = (time.monotonic() + self._seconds, action)
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._seconds, self._ring)
        return partial(self._waiting.pop, key, None)

    def _ring(self) -> None:
        self._alarm = None
        while self._waiting:
            key = next(iter(self._waiting))
            at, action = self._waiting[key]
            if (left := at - time.monotonic()) > 0:
                self._alarm = self._loop.call_later(left, self._ring)
                return
            del self._waiting[key]
            self._loop.call_soon(action)


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
