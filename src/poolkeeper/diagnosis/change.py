"""What happened in a pool between two moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TypeVar

from poolkeeper.model import CloseReason, Histogram, PoolSnapshot, Timings, Totals

_Key = TypeVar("_Key", bound=str)


@dataclass(frozen=True, slots=True)
class Change:
    """The differences of everything that counts up, over so many `seconds`."""

    seconds: float
    totals: Totals
    timings: Timings
    closed: Mapping[CloseReason, int]
    lags: Histogram
    late: int

    @property
    def rate(self) -> float | None:
        """Requests for a connection per second; None where no time has passed."""
        return self.totals.requests / self.seconds if self.seconds > 0 else None

    @property
    def unserved(self) -> int:
        """Requests that the pool let down."""
        return self.totals.timed_out + self.totals.refused


def change_between(before: PoolSnapshot, now: PoolSnapshot) -> Change:
    """What happened from `before` to `now`, never less than nothing."""
    return Change(
        max(0.0, now.at - before.at),
        _totals(before.totals, now.totals),
        _timings(before.timings, now.timings),
        _counts(before.closed, now.closed),
        _lags(before, now),
        _late(before, now),
    )


def is_earlier(before: PoolSnapshot, now: PoolSnapshot) -> bool:
    """Whether both are of one pool that went on counting, from `before` to `now`."""
    return (
        before.name == now.name
        and before.at <= now.at
        and before.opened <= now.opened
        and before.totals.requests <= now.totals.requests
        and before.totals.served <= now.totals.served
    )


def is_mostly_long(durations: Histogram, limit: float) -> bool:
    """Whether these take so many seconds on average, or most of their time goes into some that do.

    Those that were quick before trouble began are many, and would hide it in a mean.
    """
    if (durations.mean or 0.0) >= limit:
        return True
    buckets = zip(pairwise((0.0, *durations.bounds)), durations.counts, strict=False)
    brief = sum(count * (low + high) / 2 for (low, high), count in buckets if low < limit)
    return any(_above(durations, limit)) and durations.total - brief >= durations.total / 2


def _above(durations: Histogram, limit: float) -> tuple[int, ...]:
    """How many are surely longer, by bucket."""
    return tuple(count for low, count in zip((0.0, *durations.bounds), durations.counts, strict=False) if low >= limit)


def _totals(before: Totals, now: Totals) -> Totals:
    return Totals(
        max(0, now.requests - before.requests),
        max(0, now.waited - before.waited),
        max(0, now.served - before.served),
        max(0, now.returned - before.returned),
        max(0, now.timed_out - before.timed_out),
        max(0, now.refused - before.refused),
        max(0, now.cancelled - before.cancelled),
        max(0, now.connects - before.connects),
        _counts(before.connect_failures, now.connect_failures),
        _counts(before.refusals, now.refusals),
    )


def _timings(before: Timings, now: Timings) -> Timings:
    names = (item.name for item in fields(Timings))
    return Timings(**{name: _since(getattr(before, name), getattr(now, name)) for name in names})


def _lags(before: PoolSnapshot, now: PoolSnapshot) -> Histogram:
    if now.loop_lag is None:
        return Histogram()
    return _since(before.loop_lag.lags, now.loop_lag.lags) if before.loop_lag else Histogram()


def _late(before: PoolSnapshot, now: PoolSnapshot) -> int:
    if now.loop_lag is None:
        return 0
    return max(0, now.loop_lag.late - (before.loop_lag.late if before.loop_lag else 0))


def _since(before: Histogram, now: Histogram) -> Histogram:
    if before.bounds != now.bounds or len(before.counts) != len(now.counts):
        return Histogram()
    added = now.since(before)
    # Less than before: another pool's, whose counts mean nothing here.
    return added if min(added.counts, default=0) >= 0 else Histogram()


def _counts(before: Mapping[_Key, int], now: Mapping[_Key, int]) -> dict[_Key, int]:
    added = {key: count - before.get(key, 0) for key, count in now.items()}
    return {key: count for key, count in added.items() if count > 0}
