"""How long to wait before a transaction is tried again, and how many retries a process may add to the load."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# Conflicts end with the other transaction, after milliseconds; a server that restarts needs longer.
OF_CONFLICTS = 0.01
OF_OUTAGES = 0.1
LONGEST = 2.0

# Finagle's default budget: one retry for every five requests, and ten a second for those who send few; both within the
# last ten seconds (https://finagle.github.io/blog/2016/02/08/retry-budgets).
SHARE = 0.2
FLOOR = 10.0
WINDOW = 10.0


def backoff(first: float, retry: int, dice: float) -> float:
    """Seconds to wait before a retry, counted from 1: `first` doubles each time, up to two seconds.

    With full jitter: `dice`, between 0 and 1, picks from all of that time. Transactions that met in one conflict, or
    lost their connections in one moment, do not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    return float(min(LONGEST, first * 2 ** min(retry - 1, 20)) * dice)


@dataclass(slots=True)
class _Second:
    number: int
    firsts: int = 0
    retries: int = 0


class Budget:
    """Retries are at most `share` of the first attempts plus `floor` a second, within any ten seconds.

    What is allowed is not saved up for longer: a quiet hour does not pay for a storm.
    """

    def __init__(self, share: float = SHARE, floor: float = FLOOR) -> None:
        self._share = share
        self._reserve = floor * WINDOW
        self._seconds: deque[_Second] = deque()

    def first(self, now: float) -> None:
        """Note a first attempt."""
        self._current(now).firsts += 1

    def spend(self, now: float) -> bool:
        """Whether one more retry is allowed; it is counted then."""
        current = self._current(now)
        firsts = sum(second.firsts for second in self._seconds)
        retries = sum(second.retries for second in self._seconds)
        # Whole retries only; the tiny excess is for shares that floats cannot hold.
        if retries + 1 > self._share * firsts + self._reserve + 1e-9:
            return False
        current.retries += 1
        return True

    def _current(self, now: float) -> _Second:
        number = int(now)
        while self._seconds and self._seconds[0].number <= number - WINDOW:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1].number < number:
            self._seconds.append(_Second(number))
        return self._seconds[-1]
