"""How to go on when connects fail: when to try again, and when to stop letting callers wait."""

from __future__ import annotations

FIRST_DELAY = 0.005
# Who waits is served this long after the database is back, at the latest.
PATIENT_DELAY = 0.15
# Nobody waits any more: some attempts in each second notice the end of a short outage soon, and one in each the end of
# a long one, which burdens nobody. That is a quarter of the time for which nothing was to be reached.
IDLE_DELAY = 1.0
IDLE_SHARE = 0.25
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
        delay = FIRST_DELAY * 2 ** min(self.failures, 20)
        return float(min(self._longest_delay(now), delay) * (0.5 + dice / 2))

    def _longest_delay(self, now: float) -> float:
        if self.is_hopeless:
            return IDLE_DELAY
        idle = min(IDLE_DELAY, (now - self.since) * IDLE_SHARE) if self.is_lasting(now) else 0.0
        return max(PATIENT_DELAY, idle)

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
