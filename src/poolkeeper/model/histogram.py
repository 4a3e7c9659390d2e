"""Durations, counted in buckets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

# A healthy pool serves in less than a millisecond, and a common timeout is 30 s.
BOUNDS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were at most each of `bounds` (seconds) and above the one before; the last count is the rest."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0
    bounds: tuple[float, ...] = BOUNDS

    @property
    def count(self) -> int:
        """All values."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """The mean value; None without any."""
        return self.total / self.count if self.count else None

    def since(self, earlier: Histogram) -> Self:
        """What has been added since `earlier`, a snapshot of the same histogram."""
        counts = tuple(now - before for now, before in zip(self.counts, earlier.counts, strict=True))
        return type(self)(counts, max(0.0, self.total - earlier.total), self.bounds)

    def __add__(self, other: Histogram) -> Self:
        """What both have counted; their bounds are the same."""
        counts = tuple(ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True))
        return type(self)(counts, self.total + other.total, self.bounds)

    def quantile(self, share: float) -> float | None:
        """About the value below which this share of all values lies; None without any.

        Within a bucket values are taken as spread evenly, and above the last bound as equal to it.
        """
        wanted = share * self.count
        if not self.count:
            return None
        for (low, high), count in zip(pairwise((0.0, *self.bounds)), self.counts, strict=False):
            if count and wanted <= count:
                return low + (high - low) * wanted / count
            wanted -= count
        return self.bounds[-1]
