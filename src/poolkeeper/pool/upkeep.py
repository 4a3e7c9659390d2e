"""What keeps idle connections good: pings, replacement before they expire, closing what is not needed."""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from typing import TYPE_CHECKING

from poolkeeper.model import CloseReason
from poolkeeper.pool.record import KeeperRecord

if TYPE_CHECKING:
    from poolkeeper.pool.home import Home

_ROUNDS_PER_SPAN = 4
_SHORTEST_ROUND = 0.02
_LONGEST_ROUND = 5.0


class Upkeep:
    """Goes round the idle connections of a `Home` until it stops, or nobody else holds the pool, or the loop ends.

    A timer, not a task: a loop that ends has nothing of it to cancel.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._timer: asyncio.TimerHandle | None = None
        self._replaced_at = -math.inf

    def start(self) -> None:
        ours: weakref.ref[Upkeep] = weakref.ref(self)
        self._timer = self._home.loop.call_later(self._round_time(), _go_round, ours)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def hurry(self) -> None:
        """Shorten the round under way, if need be, for a connection that has to be asked sooner than all before it."""
        if self._timer is not None and self._timer.when() > self._home.loop.time() + self._round_time():
            self.stop()
            self.start()

    def _round_time(self) -> float:
        options = self._home.options
        spans = [options.keepalive, options.max_idle, *(record.keepalive for record in self._home.records())]
        if options.limits.max_overflow:
            spans.append(options.overflow_linger)
        shortest = min((span for span in spans if span), default=math.inf) / _ROUNDS_PER_SPAN
        # A round replaces one connection at most.
        return min(_LONGEST_ROUND, max(_SHORTEST_ROUND, min(shortest, self._distance or math.inf)))

    def go_round(self) -> None:
        """One round over the idle connections."""
        self.start()
        now = time.monotonic()
        self._close_surplus(now)
        self._replace(now)
        self._keep_alive(now)
        self._home.queue.settle()

    def retirement(self, record: KeeperRecord, now: float) -> CloseReason | None:
        """Why a connection that comes home is to be closed, if it is."""
        home = self._home
        if record.retired is not None:
            return record.retired
        if now >= record.due and (now >= record.expires or self._may_replace(now)):
            self._replaced_at = now
            record.reopen = True
            return CloseReason.LIFETIME
        if home.disposed:
            return CloseReason.DISPOSED
        queue, keeps_overflow = home.queue, home.options.overflow_linger > 0
        home.shrinking = queue.surplus > 0 or not keeps_overflow
        if queue.surplus:
            return CloseReason.RESIZE
        is_overflow = 0 < queue.limits.pool_size <= len(queue.idle)
        return CloseReason.OVERFLOW if is_overflow and not keeps_overflow else None

    def _close_surplus(self, now: float) -> None:
        home = self._home
        options, queue = home.options, home.queue
        limits = queue.limits
        if limits.pool_size and (overflow := queue.open - limits.pool_size) > 0:
            lingered = now - options.overflow_linger
            home.close_idle(lambda r: CloseReason.OVERFLOW if r.idle_since <= lingered else None, overflow)
        if options.max_idle is not None and (spare := len(queue.idle) - limits.min_idle) > 0:
            too_long = now - options.max_idle
            home.close_idle(lambda r: CloseReason.IDLE if r.idle_since <= too_long else None, spare)

    def _replace(self, now: float) -> None:
        if not self._may_replace(now):
            return
        queue = self._home.queue
        due = min(queue.idle, key=lambda record: record.due, default=None)
        if due is not None and due.due <= now and queue.withdraw(due):
            self._replaced_at = now
            due.reason, due.reopen = CloseReason.LIFETIME, True
            self._home.discard(due)

    def _may_replace(self, now: float) -> bool:
        # Rounds are not quite even: one that comes a little early must not go by in vain.
        return now - self._replaced_at >= 0.9 * self._distance

    @property
    def _distance(self) -> float:
        """Seconds between replacements: half of what would spread all of them evenly."""
        limits = self._home.queue.limits
        places = limits.capacity or limits.pool_size or 1
        return self._home.options.replaced_within / places / 2

    def _keep_alive(self, now: float) -> None:
        home = self._home
        if home.queue.waiting:
            return
        silent = [record for record in home.queue.idle if record.is_silent(now)]
        # Never all of them at once: somebody may want one.
        for record in silent[: max(1, len(home.queue.idle) // 2)]:
            if home.options.keepalive is not None:
                home.queue.reserve(record)
                home.check(record)
            elif home.queue.withdraw(record):
                # Not to be kept alive: it goes before the server ends it.
                record.reason = CloseReason.IDLE
                home.discard(record)


def _go_round(upkeep: weakref.ref[Upkeep]) -> None:
    if (ours := upkeep()) is not None:
        ours.go_round()
