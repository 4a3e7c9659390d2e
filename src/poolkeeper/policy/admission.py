"""Whether a caller may join the queue: refuse now what would only fail later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

# A caller who gets an answer in the last tenth of its patience may have given up already.
USABLE_SHARE = 0.9
# A queue that does not empty serves nobody better for being long: as in CoDel (RFC 8289), a burst may fill it, a
# standing queue may not.
STANDING_SHARE = 0.25
_SMOOTHING = 0.05


class RefusalReason(StrEnum):
    """Why a caller was not let in."""

    MAX_WAITING = "max-waiting"
    PREDICTED_WAIT = "predicted-wait"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`predicted_wait` is how long the caller would have waited, `retry_after` when it would be let in (seconds)."""

    reason: RefusalReason
    predicted_wait: float
    retry_after: float


class Admission:
    """Predicts waits from how fast the queue moves: the place in it times the mean interval between hand-overs.

    In a full pool that interval is the mean hold divided by the pool's size, and unlike that quotient it is right with
    a connection leaked, a database stalled or an event loop too busy. All times are seconds on one clock.
    """

    __slots__ = ("_busy_since", "_client_timeout", "_hold", "_interval", "_last", "_max_waiting", "_served", "_timeout")

    def __init__(self, timeout: float, client_timeout: float | None, max_waiting: int | None) -> None:
        self._timeout = timeout
        self._client_timeout = client_timeout
        self._max_waiting = max_waiting
        self._hold = self._interval = self._last = 0.0
        self._busy_since: float | None = None
        self._served = 0

    @property
    def patience(self) -> float:
        """The longest wait that is worth beginning."""
        if self._client_timeout is None:
            return self._timeout
        return max(0.0, min(self._timeout, self._client_timeout * USABLE_SHARE - self._hold))

    @property
    def longest_wait(self) -> float:
        """When a caller in the queue gives up."""
        return self._timeout if self._client_timeout is None else min(self._timeout, self._client_timeout)

    def held(self, seconds: float) -> None:
        """A connection came back after so long."""
        hold = self._hold
        self._hold = hold + (seconds - hold) * _SMOOTHING if hold else seconds

    def served(self, now: float) -> None:
        """A caller left the queue with a connection."""
        if self._busy_since is None:
            # It waited for a connect, or was the last in the queue: since when is not known.
            return
        gap = now - self._last
        self._interval += (gap - self._interval) * (_SMOOTHING if self._interval else 1.0)
        self._last = now
        self._served += 1

    def emptied(self) -> None:
        """Nobody waits any more."""
        self._busy_since = None

    def refusal(self, now: float, waiting: int, capacity: int | None, in_use: int) -> Refusal | None:
        """None for a caller who may join behind `waiting` others, with so many connections in use."""
        if self._busy_since is None:
            self._busy_since = self._last = now
            self._served = 0
        pace = self._pace(now, capacity, in_use)
        predicted, limit = (waiting + 1) * pace, self._limit(now)
        if self._max_waiting is not None and waiting >= self._max_waiting:
            return Refusal(RefusalReason.MAX_WAITING, predicted, max(predicted - limit, pace))
        if predicted > limit:
            return Refusal(RefusalReason.PREDICTED_WAIT, predicted, predicted - limit)
        return None

    def _pace(self, now: float, capacity: int | None, in_use: int) -> float:
        """Seconds between two hand-overs."""
        places = capacity or math.inf
        # Few hand-overs in this busy time say little: what connections were held for before says more.
        known = self._interval if self._served >= min(places, 1 / _SMOOTHING) else self._hold / places
        # Nobody has come back for a while: whoever holds a connection holds it as long. (With none out, the queue waits
        # for the database to return, and then moves fast.)
        return max(known, (now - self._last) / places) if in_use else known

    def _limit(self, now: float) -> float:
        patience = self.patience
        if self._client_timeout is None or self._busy_since is None:
            return patience
        standing = patience * STANDING_SHARE
        return standing if now - self._busy_since > standing else patience
