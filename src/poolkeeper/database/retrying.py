"""May something be tried again? One budget for each `Database`, and counts of what became of it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from poolkeeper.database.attempt import Attempt
from poolkeeper.drivers import retry_reason
from poolkeeper.errors import CommitUnknown
from poolkeeper.model import Retries, RetryReason
from poolkeeper.observe.lines import Line, RateLimit, Topic
from poolkeeper.policy import Budget, backoff
from poolkeeper.policy.retries import OF_CONFLICTS, OF_OUTAGES
from poolkeeper.settings import EffectiveSettings

log = logging.getLogger("poolkeeper")

_CONFLICTS = frozenset({RetryReason.SERIALIZATION, RetryReason.DEADLOCK, RetryReason.LOCK_TIMEOUT})
# One outage is one line, and one more for each minute that it goes on.
_LINES_PER = 60.0


class Retrying:
    """The retry budget of one database in this process, shared by its tasks and threads. `name` gives its name."""

    def __init__(self, settings: EffectiveSettings, name: Callable[[], str]) -> None:
        self.attempts = settings.retry_attempts
        self._name = name
        self._share = settings.retry_budget
        self._budget = Budget(settings.retry_budget)
        self._limit = RateLimit(burst=1, per=_LINES_PER)
        self._lock = threading.Lock()
        self._retried: Counter[str] = Counter()
        self._transactions = self._refused = self._unknown = 0

    def begin(self) -> None:
        """Note the first attempt of a transaction."""
        with self._lock:
            self._transactions += 1
            self._budget.first(time.monotonic())

    def allows(self, reason: RetryReason) -> bool:
        """Whether the budget has a retry left, which it then has no more."""
        now = time.monotonic()
        with self._lock:
            allowed = self._budget.spend(now)
            if allowed:
                self._retried[reason.value] += 1
                return True
            self._refused += 1
            line = self._limit.admit(self._exhausted(reason), now)
        if line is not None:
            log.getChild(line.topic).warning("%s", line.message, extra=line.extra())
        return False

    def lost_an_answer(self) -> None:
        """Note that the answer to a COMMIT was lost."""
        with self._lock:
            self._unknown += 1

    def retries(self) -> Retries:
        """The counts now."""
        with self._lock:
            return Retries(self._transactions, dict(self._retried), self._refused, self._unknown)

    def _exhausted(self, reason: RetryReason) -> Line:
        message = (
            f"{self._name()}: the retry budget is used up ({self._share:.0%} of the transactions and ten a second); "
            f"errors reach their callers at once, the latest for the reason {reason.value}"
        )
        fields = {
            "pool": self._name(),
            "reason": reason.value,
            "transactions": self._transactions,
            "retried": self._retried.total(),
            "refused": self._refused,
        }
        return Line(Topic.RETRY, "retry_budget_exhausted", message, fields)


class Course:
    """The attempts of one transaction. `until` is the moment of its deadline on the monotonic clock.

    `doubt` is the latest commit whose answer was lost, and `result` what the function had returned before it.
    `is_read` where nothing is lost with such an answer.
    """

    def __init__(self, retrying: Retrying, attempts: int | None, until: float | None, *, is_read: bool = False) -> None:
        self.doubt: CommitUnknown | None = None
        self.result: Any = None
        self._retrying = retrying
        self._attempts = retrying.attempts if attempts is None else attempts
        self._attempt = 1
        self._until = until
        self._is_read = is_read
        if not is_read:
            retrying.begin()

    def asking(self) -> Course:
        """The attempts to look whether the work was done: no fewer, and with the same deadline."""
        return Course(self._retrying, max(self._attempts, self._retrying.attempts), self._until, is_read=True)

    def after(self, error: Exception, attempt: Attempt, *, has_check: bool) -> tuple[float | None, bool]:
        """What follows an attempt that failed.

        The seconds to wait before the next attempt, None where there is to be none; and whether somebody has to look
        first if the work was done, because the answer to a commit was lost, in this attempt or before.
        """
        if isinstance(error, CommitUnknown) and not self._is_read:
            self._retrying.lost_an_answer()
            self.doubt, self.result = error, attempt.result
        has_to_ask = has_check and attempt.is_repeatable and self.doubt is not None
        reason = self._reason_for(error, has_check=has_check) if attempt.is_repeatable else None
        return (None if reason is None else self._delay(error, reason)), has_to_ask

    def still_in_doubt(self, error: Exception) -> Exception:
        """The doubt, after this error of who looked."""
        if self.doubt is None:
            return error
        self.doubt.add_note(f"Whether it was applied could not be asked: {type(error).__name__}: {error}")
        return self.doubt

    def _reason_for(self, error: Exception, *, has_check: bool) -> RetryReason | None:
        if not isinstance(error, CommitUnknown):
            return retry_reason(error)
        if self._is_read:
            return RetryReason.DISCONNECT
        return RetryReason.COMMIT_UNKNOWN if has_check else None

    def _delay(self, error: Exception, reason: RetryReason) -> float | None:
        first = OF_CONFLICTS if reason in _CONFLICTS else OF_OUTAGES
        delay = backoff(first, self._attempt, random.random())  # noqa: S311 - no secret
        if why_not := self._why_not(reason, delay):
            error.add_note(f"Not tried again after attempt {self._attempt}: {why_not}.")
            return None
        self._attempt += 1
        return delay

    def _why_not(self, reason: RetryReason, delay: float) -> str:
        if self._attempt >= self._attempts:
            return "there are no more attempts"
        if self._until is not None and time.monotonic() + delay >= self._until:
            return "the deadline comes first"
        return "" if self._retrying.allows(reason) else "the retry budget is used up"
