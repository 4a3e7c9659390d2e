"""One line of the log for each thing that goes wrong in a pool, and one for its end."""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections.abc import Callable
from typing import Any

from poolkeeper.model import CloseReason, PoolEvent, PoolEventKind, PoolSnapshot
from poolkeeper.observe.history import Ticker
from poolkeeper.observe.incidents import Incidents, Thresholds

log = logging.getLogger("poolkeeper")

# Whatever the pool goes through, looks are at least this far apart (seconds).
_DISTANCE = 0.05

Holds = Callable[[asyncio.Task[Any] | None], bool]


class Journal:
    """Looks at a pool every so often and writes warnings to "poolkeeper.pool" and "poolkeeper.checkout".

    Each record is a sentence, and carries the same as attributes for formatters: `event` ("pool_saturated",
    "pool_relieved", "connects_failing", "connects_recovered", "nested_checkout", "connection_held_long",
    "connection_leaked", "connection_leak_retracted"), `pool`, and as far as known `route`, `site`, `task`, `seconds`
    and others. The values are plain; none is a URL or a value of a statement.

    `source` is called on the event loop every `every` seconds. Where the pool's events reach `notice`, what begins
    between two looks is seen sooner: a saturation after `saturated_after` seconds, and a nested checkout at once if
    `holds` tells whether a task has a connection already.
    """

    def __init__(
        self,
        source: Callable[[], PoolSnapshot],
        thresholds: Thresholds | None = None,
        *,
        every: float = 0.5,
        holds: Holds | None = None,
    ) -> None:
        self._source, self._holds = source, holds
        self._thresholds = thresholds or Thresholds()
        self._incidents = Incidents(self._thresholds)
        self._ticker = Ticker(self.look, every)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._soon: asyncio.TimerHandle | None = None
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
        for line in self._incidents.see(self._source()):
            log.getChild(line.topic).warning("%s", line.message, extra=line.extra())

    def notice(self, event: PoolEvent) -> None:
        """Hear an event of the pool. Costs next to nothing while a look is due already."""
        kind = event.kind
        if kind is PoolEventKind.WAITING:
            self._look_after(0.0 if self._is_nested() else self._thresholds.saturated_after)
        elif kind is PoolEventKind.CONNECT_FAILED or event.reason is CloseReason.LEAKED:
            self._look_after(0.0)

    def _is_nested(self) -> bool:
        return self._holds is not None and self._is_here() and self._holds(asyncio.current_task())

    def _is_here(self) -> bool:
        # A pool may also be used from threads, or other loops: what happens there is seen by the ticker.
        return self._loop is not None and asyncio._get_running_loop() is self._loop

    def _look_after(self, seconds: float) -> None:
        if not self._is_here() or self._loop is None:
            return
        due = max(self._loop.time() + seconds, self._not_before)
        if self._soon is not None:
            if self._soon.when() <= due:
                return
            self._soon.cancel()
        ours: weakref.ref[Journal] = weakref.ref(self)
        self._soon = self._loop.call_at(due, _look_soon, ours)

    def look_soon(self) -> None:
        """The look that an event has asked for."""
        self._soon = None
        if self._loop is not None:
            self._not_before = self._loop.time() + _DISTANCE
        self._ticker.tick()


def _look_soon(journal: weakref.ref[Journal]) -> None:
    if (ours := journal()) is not None:
        ours.look_soon()
