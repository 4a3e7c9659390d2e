"""Counts what happens in a pool, and how long it takes."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from poolkeeper.drivers import classify_connect_failure, sqlstate_of
from poolkeeper.model import BOUNDS, ConnectTrouble, Histogram, PoolEvent, PoolEventKind, PoolObserver, Timings, Totals
from poolkeeper.pool.observers import deliver
from poolkeeper.settings.masking import masked_text

_LONGEST_MESSAGE = 300
_COMMON = frozenset({PoolEventKind.REQUESTED, PoolEventKind.HANDED_OVER, PoolEventKind.RETURNED})


def no_counts() -> list[int]:
    """The counts of a histogram without values."""
    return [0] * (len(BOUNDS) + 1)


class Buckets:
    """A histogram that grows."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = no_counts()
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def histogram(self) -> Histogram:
        return Histogram(tuple(self.counts), self.total)


class TimesObserver(Protocol):
    """Hears each time that goes into a pool's `Timings`, within the pool's work: it must be quick and not raise."""

    def took(self, what: str, seconds: float) -> None:
        """One of `Timings.what` more."""
        ...


class Recorder:
    """Hears a pool, on its event loop, and tells what has happened since.

    It is told of what every checkout comes to by calls, or, as an observer of its own, by events. `listeners` hear what
    is rare: every event but those of a checkout. `times` hears how long each thing took that is in `Timings`.
    """

    def __init__(self) -> None:
        self.listeners: list[PoolObserver] = []
        self.times: TimesObserver | None = None
        self.at_once = self._asked = self._served = self._returned = 0
        self._held = self._held_in_sql = 0.0
        self._counts: Counter[PoolEventKind] = Counter()
        self._failures: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._failed_since: float | None = None
        self._failed_in_a_row = 0
        self._failure: ConnectTrouble | None = None
        self._waits, self._queues, self._connects = Buckets(), Buckets(), Buckets()
        self._holds, self._in_sql, self._gaps = no_counts(), no_counts(), no_counts()
        self._also: dict[PoolEventKind, Callable[[PoolEvent], None]] = {
            PoolEventKind.REQUESTED: lambda _: self.asked(),
            PoolEventKind.HANDED_OVER: lambda event: self.served(event.seconds),
            PoolEventKind.RETURNED: lambda event: self.returned(event.seconds, 0.0),
            PoolEventKind.CONNECTED: self._connected,
            PoolEventKind.CONNECT_FAILED: self._connect_failed,
            PoolEventKind.REFUSED: self._refused,
        }

    def notice(self, event: PoolEvent) -> None:
        self._counts[event.kind] += 1
        if (also := self._also.get(event.kind)) is not None:
            also(event)
        if event.kind not in _COMMON:
            for listener in self.listeners:
                deliver(event, listener)

    def asked(self) -> None:
        """Note a call for a connection that is not served at once."""
        self._asked += 1

    def served(self, waited: float, queued: float | None = None) -> None:
        """Note that it got one, after so many seconds, of which so many were not spent on a connect of its own.

        Who gets one at once is counted in `at_once` instead.
        """
        self._served += 1
        self._waits.add(waited)
        if queued is not None:
            self._queues.add(queued)
        if self.times is not None:
            self.times.took("waits", waited)
            if queued is not None:
                self.times.took("queues", queued)

    def served_unasked(self) -> None:
        """Note a checkout from a pool that tells of no request."""
        self._served += 1

    def returned(self, held: float, in_sql: float) -> None:
        """Note that one is back, after so many seconds, of which so many were spent waiting for the database."""
        # No calls: this is part of every checkout.
        self._returned += 1
        self._held += held
        self._held_in_sql += in_sql
        self._holds[bisect_left(BOUNDS, held)] += 1
        self._in_sql[bisect_left(BOUNDS, in_sql)] += 1
        self._gaps[bisect_left(BOUNDS, held - in_sql)] += 1
        if self.times is not None:
            self.times.took("holds", held)
            self.times.took("in_sql", in_sql)
            self.times.took("gaps", max(0.0, held - in_sql))

    def totals(self) -> Totals:
        """What has happened."""
        return Totals(
            requests=self.at_once + self._asked,
            waited=self._counts[PoolEventKind.WAITING],
            served=self.at_once + self._served,
            returned=self._returned,
            timed_out=self._counts[PoolEventKind.TIMED_OUT],
            refused=self._counts[PoolEventKind.REFUSED],
            cancelled=self._counts[PoolEventKind.CANCELLED],
            connects=self._counts[PoolEventKind.CONNECTED],
            connect_failures=dict(self._failures),
            refusals=dict(self._refusals),
        )

    def timings(self) -> Timings:
        """How long it took."""
        waits = self._waits.histogram()
        at_once = (waits.counts[0] + self.at_once, *waits.counts[1:])
        return Timings(
            waits=Histogram(at_once, waits.total),
            queues=self._queues.histogram(),
            connects=self._connects.histogram(),
            holds=Histogram(tuple(self._holds), self._held),
            in_sql=Histogram(tuple(self._in_sql), self._held_in_sql),
            gaps=Histogram(tuple(self._gaps), max(0.0, self._held - self._held_in_sql)),
        )

    def connect_trouble(self, now: float) -> ConnectTrouble | None:
        """Why the latest attempt to connect failed; None if it succeeded. `now` is on the monotonic clock."""
        found, since = self._failure, self._failed_since
        if found is None or since is None:
            return None
        return ConnectTrouble(found.kind, found.message, found.sqlstate, now - since, self._failed_in_a_row)

    def _connected(self, event: PoolEvent) -> None:
        self._connects.add(event.seconds)
        if self.times is not None:
            self.times.took("connects", event.seconds)
        self._failed_since = self._failure = None
        self._failed_in_a_row = 0

    def _refused(self, event: PoolEvent) -> None:
        if event.reason is not None:
            self._refusals[event.reason.value] += 1

    def _connect_failed(self, event: PoolEvent) -> None:
        error = event.error
        # One that was given up by ourselves says nothing about the database.
        if not isinstance(error, Exception):
            return
        kind = classify_connect_failure(error).value
        self._failures[kind] += 1
        self._failed_in_a_row += 1
        if self._failed_since is None:
            self._failed_since = event.at - event.seconds
        self._failure = ConnectTrouble(kind, _message_of(error), sqlstate_of(error))


class ThreadRecorder(Recorder):
    """The same for a pool that many threads use: `+=` would lose counts where they meet."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()

    def notice(self, event: PoolEvent) -> None:
        with self._lock:
            super().notice(event)

    def served_unasked(self) -> None:
        with self._lock:
            super().served_unasked()

    def returned(self, held: float, in_sql: float) -> None:
        with self._lock:
            super().returned(held, in_sql)


def _message_of(error: BaseException) -> str:
    """What the driver says, on one line."""
    orig: object = getattr(error, "orig", None)
    said = " ".join(str(orig if isinstance(orig, BaseException) else error).split())
    return masked_text(said or type(error).__name__)[:_LONGEST_MESSAGE]
