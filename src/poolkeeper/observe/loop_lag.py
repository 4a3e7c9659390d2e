"""How late the event loop runs what is due, and what kept it."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

from poolkeeper.model import LoopLag
from poolkeeper.observe.awaiting import sites_of
from poolkeeper.observe.recorder import Buckets
from poolkeeper.observe.sites import Site, described, is_library, site_of

# All in seconds.
EVERY = 0.1
LATE = 0.25
RECENT = 10.0


class LoopProbe:
    """Asks one event loop to be called every 0.1 s, and notes how late that is. It ends when nobody wants it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.due = time.monotonic() + EVERY
        # Where the loop's thread was found while it was late for `due`.
        self.caught: Site | None = None
        self.looked_at = 0.0
        # A loop that does not run is not late.
        self.rests = False
        self._lags = Buckets()
        self._long = 0
        self._waited_for_cpu = _waited_for_cpu()
        self._late: deque[tuple[float, float, Site | None]] = deque()
        self._alarm = loop.call_later(EVERY, _beat, weakref.ref(self))

    def beat(self) -> None:
        now = time.monotonic()
        lag = max(0.0, now - self.due)
        before, self._waited_for_cpu = self._waited_for_cpu, _waited_for_cpu()
        if not self.rests:
            self._lags.add(lag)
            # What the thread waited for a CPU is the machine's part of it.
            self._long += lag - (self._waited_for_cpu - before) >= LATE
            if lag >= EVERY / 10:
                self._late.append((now, lag, self.caught))
            self._forget(now)
        self.thread, self.rests = threading.get_ident(), False
        self.due, self.caught = now + EVERY, None
        self._alarm = self.loop.call_later(EVERY, _beat, weakref.ref(self))

    def end(self) -> None:
        self._alarm.cancel()

    def start_over(self) -> None:
        """Forget what was found so far, and what the loop is late for at this moment."""
        self._lags = Buckets()
        self._long = 0
        self._late.clear()
        self.due, self.caught = time.monotonic() + EVERY, None

    def lag(self, now: float) -> LoopLag:
        """What was found; `now` is on the monotonic clock. It counts what is late at this moment, too."""
        self._forget(now)
        found = [(lag, site) for _, lag, site in tuple(self._late)]
        if self.loop.is_running() and not self.rests:
            found.append((now - self.due, self.caught))
        lag, site = max(found, key=lambda each: each[0], default=(0.0, None))
        return LoopLag(self._lags.histogram(), max(0.0, lag), described(site) if site else None, self._long)

    def look(self, now: float) -> None:
        """From the watchdog: if the loop is late, see what its thread is at."""
        if self.loop.is_closed() or not self.loop.is_running():
            self.rests = True
        elif now - self.due > LATE and self.looked_at != self.due and not self.rests:
            self.looked_at = self.due
            self.caught = self._site()

    def _site(self) -> Site | None:
        frame = sys._current_frames().get(self.thread)
        if (site := site_of(frame)) is not None:
            return site
        # Inside a greenlet of SQLAlchemy's the stack ends where it began; its task tells who called.
        with suppress(Exception):
            own = [site for site in sites_of(asyncio.current_task(self.loop)) if not is_library(site[0])]
            return own[-1] if own else None
        return None

    def _forget(self, now: float) -> None:
        while self._late and now - self._late[0][0] > RECENT:
            self._late.popleft()


class LagWatch:
    """The probe of whichever event loop a pool works on. A loop has one probe, however many pools work there."""

    def __init__(self) -> None:
        self._probe: LoopProbe | None = None

    def begin(self) -> None:
        """Watch the running event loop from now on; nothing without one."""
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            if self._probe is None or self._probe.loop is not loop:
                self._probe = _probe_of(loop)

    def end(self) -> None:
        """Watch no more."""
        self._probe = None

    def lag(self, now: float) -> LoopLag | None:
        """What was found on the loop; None before there was one."""
        return self._probe.lag(now) if self._probe is not None else None


class _Watchdog:
    """A thread that sleeps, and looks at loops that are late. It ends with the last probe."""

    def __init__(self) -> None:
        self.probes: weakref.WeakValueDictionary[int, LoopProbe] = weakref.WeakValueDictionary()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            # A forked child has none.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="poolkeeper-loop-watch", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        # What the frame of this loop named would not end.
        while self._look():
            time.sleep(EVERY)

    def _look(self) -> bool:
        with self._lock:
            probes = list(self.probes.values())
            if not probes:
                self._thread = None
                return False
        now = time.monotonic()
        for probe in probes:
            probe.look(now)
        return True


_watchdog = _Watchdog()


def _waited_for_cpu() -> float:
    """For how many seconds the running thread has been ready to run and had no CPU; 0 where only Linux would tell.

    That is the second number of schedstat (Documentation/scheduler/sched-stats.rst of the kernel).
    """
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _probe_of(loop: asyncio.AbstractEventLoop) -> LoopProbe:
    probe = _watchdog.probes.get(id(loop))
    if probe is None or probe.loop is not loop:
        probe = _watchdog.probes[id(loop)] = LoopProbe(loop)
    _watchdog.begin()
    return probe


def start_over() -> None:
    """Forget how late the running event loop was, where it is watched.

    What a service does before it serves keeps nobody waiting.
    """
    probe = _watchdog.probes.get(id(asyncio.get_running_loop()))
    if probe is not None:
        probe.start_over()


def _beat(probe: weakref.ref[Any]) -> None:
    if (ours := probe()) is not None:
        ours.beat()
