"""What is worth a line of the log, decided from one snapshot to the next. Pure: time is that of the snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poolkeeper.model import Holder, PoolSnapshot
from poolkeeper.observe.holder_incidents import Leaks, LongHolds, Nested, holders_of
from poolkeeper.observe.lines import Line, RateLimit
from poolkeeper.observe.pool_incidents import Connects, Saturation

# A line, at a moment: the line as it may be said, or None where it is one too many.
Admit = Callable[[Line, float], Line | None]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When something is worth a line. Times are seconds; `math.inf` never is.

    `slow_hold` is the age at which a checkout is told of, `saturated_after` how long a pool must be saturated, `calm`
    how long it must not be until that counts as over, and `leaked_after` how long a holder's task must have ended. Of
    the same event about the same thing `burst` lines are written at once, then one every `per` seconds.
    """

    slow_hold: float = 10.0
    saturated_after: float = 0.2
    calm: float = 1.0
    leaked_after: float = 1.0
    burst: int = 5
    per: float = 60.0


class Incidents:
    """Remembers what goes on in one pool, and what was said about it.

    What was told as begun is told as ended too; of what the rate limit kept back, the end is kept back as well.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        admit = RateLimit(thresholds.burst, thresholds.per).admit
        self._before: PoolSnapshot | None = None
        self._connects = Connects(admit)
        self._saturation = Saturation(thresholds.saturated_after, thresholds.calm, admit)
        self._nested = Nested(admit)
        self._leaks = Leaks(thresholds.leaked_after, admit)
        self._long_holds = LongHolds(thresholds.slow_hold, admit)

    def see(self, now: PoolSnapshot) -> tuple[Line, ...]:
        """What there is to say, in view of this snapshot and all before it."""
        before, self._before = self._before or now, now
        holders = holders_of(now)
        return (
            *self._connects.see(before, now),
            *self._saturation.see(before, now),
            *self._nested.see(now, holders),
            *self._leaks.see(before, now, holders),
            *self._long_holds.see(now, holders),
        )

    def nested(self, pool: str, holder: Holder, at: float) -> tuple[Line, ...]:
        """What there is to say about a holder that asks for another connection and does not get it at once."""
        return tuple(self._nested.hear(pool, holder, at))
