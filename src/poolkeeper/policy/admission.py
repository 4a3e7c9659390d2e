"""Whether a caller may join the queue: refuse now what would only fail later."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from poolkeeper.model import RefusalReason

# A caller who gets an answer in the last tenth of its patience may have given up already.
USABLE_SHARE = 0.9
# A queue that does not empty serves nobody better for being long: as in CoDel (RFC 8289), a burst may fill it, a
# standing queue may not.
STANDING_SHARE = 0.25
_SMOOTHING = 0.05
# Nineteen of twenty of the latest holds were shorter than what an answer is taken to need: where a few requests hold a
# connection for seconds and the others for milliseconds, a mean is wrong for both.
_LATEST = 64
_SLOW = 0.95


@dataclass(frozen=True, slots=True)
class Refusal:
    """`predicted_wait` is how long the caller would have waited, `retry_after` when it would be let in (seconds)."""

    reason: RefusalReason
    predicted_wait: float
    retry_after: float


class Terms(NamedTuple):
    """How long a caller waits at most, and for how long an answer is of use to it (seconds, from now).

    The latter is infinite for a caller who is not judged again when its turn comes.
    """

    patience: float
    useful: float = math.inf


class Admission:
    """Predicts waits from how fast the queue moves: the place in it times the mean interval between hand-overs.

    In a full pool that interval is the mean hold divided by the pool's size, and unlike that quotient it is right with
    a connection leaked, a database stalled or an event loop too busy. All times are seconds on one clock; `spent` is
    how much of its patience a caller has used up before it asked.
    """

    __slots__ = (
        "_busy_since",
        "_client_timeout",
        "_holds",
        "_interval",
        "_last",
        "_max_waiting",
        "_served",
        "_timeout",
        "held",
        "longest_wait",
        "standing",
    )

    def __init__(self, timeout: float, client_timeout: float | None, max_waiting: int | None) -> None:
        self._timeout = timeout
        self._client_timeout = client_timeout
        self._max_waiting = max_waiting
        self._interval = self._last = 0.0
        self._busy_since: float | None = None
        self._served = 0
        self._holds: deque[float] = deque(maxlen=_LATEST)
        # A connection came back after so many seconds. Called at every return, so it is the deque's own method.
        self.held = self._holds.append
        # When a caller in the queue gives up, who has waited for nothing else.
        self.longest_wait = min(timeout, self.useful_for(0.0))
        # A queue that has stood for so long is no burst; infinite where nobody said how patient callers are.
        self.standing = math.inf if client_timeout is None else self.longest_wait * STANDING_SHARE

    @property
    def patience(self) -> float:
        """The longest wait that is worth beginning."""
        return self.patience_after(0.0)

    def patience_after(self, spent: float) -> float:
        """The same for a caller who has waited so long for other things."""
        if self._client_timeout is None:
            return self._timeout
        return max(0.0, min(self._timeout, self.useful_for(spent) - self.answer))

    def useful_for(self, spent: float) -> float:
        """How long, from now, an answer is still of use to such a caller; below 0 if it is too late already."""
        return math.inf if self._client_timeout is None else self._client_timeout * USABLE_SHARE - spent

    @property
    def answer(self) -> float:
        """How long a slow caller holds a connection, and so the time that an answer may need."""
        holds = sorted(self._holds)
        return holds[int((len(holds) - 1) * _SLOW)] if holds else 0.0

    def terms_to_connect(self, spent: float, limit: float) -> Terms:
        """For a caller who waits for a connect or a ping, of which how long others hold theirs says nothing.

        Where nobody may wait for others, that takes up to `limit`. Who should have left by now may stay: it takes
        nothing from anybody.
        """
        longest, useful = self.longest_wait or limit, self.useful_for(spent)
        return Terms(min(longest, useful) if useful > 0 else longest)

    def terms_to_queue(self, spent: float) -> Terms:
        """For a caller who waits for what others give back."""
        return Terms(self.patience_after(spent), self.useful_for(spent))

    def is_too_late(self, now: float, useful_until: float) -> bool:
        """Whether who gets a connection now would have its answer when it is of no use any more."""
        return useful_until < math.inf and now + self.answer > useful_until

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

    def refusal(self, now: float, waiting: int, capacity: int | None, in_use: int, terms: Terms) -> Refusal | None:
        """None for a caller who may join behind `waiting` others on these terms, with so many connections in use."""
        if self._busy_since is None:
            self._busy_since = self._last = now
            self._served = 0
        pace = self._pace(now, capacity, in_use)
        predicted, limit = (waiting + 1) * pace, self._limit(now, terms.patience)
        if self._max_waiting is not None and waiting >= self._max_waiting:
            return Refusal(RefusalReason.MAX_WAITING, predicted, max(predicted - limit, pace))
        if predicted > limit or terms.useful <= 0:
            return Refusal(RefusalReason.PREDICTED_WAIT, predicted, max(0.0, predicted - limit))
        return None

    def futile(self, terms: Terms) -> Refusal:
        """For a caller who would wait in vain, as long as it can, because nobody is going to return a connection."""
        return Refusal(RefusalReason.NOBODY_RETURNS, terms.patience, self._mean_hold)

    def _pace(self, now: float, capacity: int | None, in_use: int) -> float:
        """Seconds between two hand-overs."""
        places = capacity or math.inf
        # Few hand-overs in this busy time say little: what connections were held for before says more.
        known = self._interval if self._served >= min(places, 1 / _SMOOTHING) else self._mean_hold / places
        # Nobody has come back for a while: whoever holds a connection holds it as long. (With none out, the queue waits
        # for the database to return, and then moves fast.)
        return max(known, (now - self._last) / places) if in_use else known

    @property
    def _mean_hold(self) -> float:
        return sum(self._holds) / len(self._holds) if self._holds else 0.0

    def _limit(self, now: float, patience: float) -> float:
        if self._busy_since is None or now - self._busy_since <= self.standing:
            return patience
        return min(patience, self.standing)
