"""One line of the log for each thing that goes wrong in a pool, and one for its end."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable

from poolkeeper.model import CloseReason, Holder, PoolEvent, PoolEventKind, PoolSnapshot
from poolkeeper.observe.history import Ticker
from poolkeeper.observe.incidents import Incidents, Thresholds
from poolkeeper.observe.lines import Line

log = logging.getLogger("poolkeeper")

# Whatever the pool goes through, looks that events ask for are at least this far apart (seconds).
_DISTANCE = 0.05


class Journal:
    """Looks at a pool every so often and writes warnings to "poolkeeper.pool" and "poolkeeper.checkout".

    Each record is a sentence, and carries the same as attributes for formatters: `event` ("pool_saturated",
    "pool_relieved", "connects_failing", "connects_recovered", "nested_checkout", "connection_held_long",
    "connection_leaked", "connection_leak_retracted"), `pool`, and as far as known `route`, `site`, `task`, `seconds`
    and others. The values are plain; none is a URL or a value of a statement.

    `name` is the pool's, and `source` is called on the event loop every `every` seconds. What begins between two looks
    is seen sooner where the pool's rare events reach `notice`, and a nested checkout at once where `nested` is told.
    """

    def __init__(
        self,
        name: str,
        source: Callable[[], PoolSnapshot],
        thresholds: Thresholds | None = None,
        *,
        every: float = 0.5,
    ) -> None:
        self.name, self._source = name, source
        self._thresholds = thresholds or Thresholds()
        self._incidents = Incidents(self._thresholds)
        self._lock = threading.Lock()
        self._ticker = Ticker(self.look, every)
        self._loop: asyncio.AbstractEventLoop | None = None
        # Not `TimerHandle.when()`: other loops' handles for what is due at once have none.
        self._soon: asyncio.Handle | None = None
        self._soon_at = math.inf
        self._not_before = -math.inf

    def start(self) -> None:
        """Look now and from now on, on the running event loop, until `stop()` or the end of that loop.

        The loop's timers do not keep the journal alive.
        """
        self.stop()
        self._loop = asyncio.get_running_loop()
        self._ticker.start()

    def stop(self) -> None:
        """Look no more. Safe to call twice."""
        self._ticker.stop()
        if self._soon is not None:
            self._soon.cancel()
        self._loop = self._soon = None
        self._not_before = -math.inf

    def look(self) -> None:
        """Look at the pool now and write what there is to say."""
        now = self._source()
        with self._lock:
            lines = self._incidents.see(now)
        _write(lines)

    def nested(self, holder: Holder) -> None:
        """Hear that this holder waits for another connection now, or was refused it, from any thread."""
        with self._lock:
            lines = self._incidents.nested(self.name, holder, time.monotonic())
        _write(lines)

    def notice(self, event: PoolEvent) -> None:
        """Hear an event of the pool, from any thread."""
        if event.kind is PoolEventKind.WAITING:
            self._look_after(self._thresholds.saturated_after)
        elif event.kind is PoolEventKind.CONNECT_FAILED or event.reason is CloseReason.LEAKED:
            self._look_after(0.0)

    def _look_after(self, seconds: float) -> None:
        # What happens in threads, or on other loops, is seen by the ticker.
        loop = self._loop
        if loop is None or loop is not asyncio._get_running_loop():
            return
        due = max(loop.time() + seconds, self._not_before)
        if self._soon is not None:
            if self._soon_at <= due:
                return
            self._soon.cancel()
        ours: weakref.ref[Journal] = weakref.ref(self)
        self._soon, self._soon_at = loop.call_at(due, _look_soon, ours), due

    def look_soon(self) -> None:
        """The look that an event has asked for."""
        self._soon = None
        if self._loop is not None:
            self._not_before = self._loop.time() + _DISTANCE
        self._ticker.tick()


def _write(lines: Iterable[Line]) -> None:
    for line in lines:
        log.getChild(line.topic).warning("%s", line.message, extra=line.extra())


def _look_soon(journal: weakref.ref[Journal]) -> None:
    if (ours := journal()) is not None:
        ours.look_soon()
