"""How to go on when connects fail: when to try again, and when to stop letting callers wait."""

from __future__ import annotations

FIRST_DELAY = 0.005
# Who waits is served this long after the database is back, at the latest.
PATIENT_DELAY = 0.15
# Nobody waits any more: one attempt a second notices the end of an outage soon, and burdens nobody.
IDLE_DELAY = 1.0
# A failed attempt speaks for the time until the next one has had its turn, and as long as it took itself.
NEWS_FOR = 2 * IDLE_DELAY
# So many refusals in a row, of a kind that waiting does not cure, are no accident.
SURE_AFTER = 3


class Outage:
    """The failures to connect since the last success. All times are seconds."""

    __slots__ = ("_curable", "_grace", "_news_until", "error", "failures", "since")

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._curable = True
        self.failures = 0
        self.since = 0.0
        self._news_until = 0.0
        self.error: BaseException | None = None

    def failed(self, error: BaseException, now: float, seconds: float, dice: float, *, curable: bool) -> float:
        """Note a failed connect that took so many seconds; returns the seconds until the next attempt.

        `curable` says whether waiting may help (a database that restarts) or not (a wrong password). `dice` is between
        0 and 1 and spreads the attempts of many processes.
        """
        if not self.failures:
            self.since = now
        self.failures += 1
        self.error = error
        self._curable = curable
        self._news_until = now + seconds + NEWS_FOR
        if self.failures == 1 or (not curable and self.failures < SURE_AFTER):
            return 0.0
        longest = IDLE_DELAY if self.is_lasting(now) else PATIENT_DELAY
        delay = FIRST_DELAY * 2 ** min(self.failures, 20)
        return float(min(longest, delay) * (0.5 + dice / 2))

    def ended(self) -> None:
        """A connect succeeded."""
        self.failures = 0
        self.error = None

    @property
    def is_hopeless(self) -> bool:
        """Whether waiting will not end it."""
        return not self._curable and self.failures >= SURE_AFTER

    def is_news(self, now: float) -> bool:
        """Whether the latest attempt says anything about now: nobody may have tried for long."""
        return now < self._news_until

    def is_lasting(self, now: float) -> bool:
        """Whether callers should be told at once instead of waiting."""
        return self.failures > 0 and (self.is_hopeless or now - self.since >= self._grace)
