"""Latencies in bounded memory, however long a run lasts."""

from __future__ import annotations

import math
from collections import Counter

# Neighbouring buckets are 1 % apart, so that a quantile is off by half a percent at most.
_GROWTH = math.log(1.01)
_SMALLEST = 1e-6


class Histogram:
    """Counts of seconds in buckets that are 1 % apart. Quantiles are within 0.5 %, `maximum` is exact."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.maximum = 0.0

    def __repr__(self) -> str:
        return f"<Histogram {self.count} values, p50 {self.quantile(0.5):.6f} s, max {self.maximum:.6f} s>"

    def add(self, seconds: float) -> None:
        self._buckets[round(math.log(max(seconds, _SMALLEST)) / _GROWTH)] += 1
        self.count += 1
        self.maximum = max(self.maximum, seconds)

    def merge(self, other: Histogram) -> None:
        self._buckets.update(other._buckets)
        self.count += other.count
        self.maximum = max(self.maximum, other.maximum)

    def quantile(self, share: float) -> float:
        """The value that `share` of all values (0 to 1) do not exceed, in seconds; 0 when there are none."""
        rank = share * self.count
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(math.exp(bucket * _GROWTH), self.maximum)
        return self.maximum
