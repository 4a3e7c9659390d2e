"""The exported numbers of some pools at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from poolkeeper.model import Histogram, PoolSnapshot
from poolkeeper.observe.metrics import LAG, NUMBERS, RECENT_LAG, TIMES, WORKERS


class Series(NamedTuple):
    """One series: the name of its metric, and its attributes."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The series of some pools at one moment. Pools of the same name are one."""

    numbers: dict[Series, float] = field(default_factory=dict[Series, float])
    times: dict[Series, Histogram] = field(default_factory=dict[Series, Histogram])


def reading_of(pools: Sequence[PoolSnapshot]) -> Reading:
    """All series of these pools; none of the process's."""
    reading = Reading()
    for pool in pools:
        for number in NUMBERS:
            for attributes, value in number.values(pool):
                series = Series(number.name, tuple(attributes.items()))
                before = reading.numbers.get(series, 0.0)
                reading.numbers[series] = max(before, value) if number.largest else before + value
        for times in TIMES:
            for attributes, histogram in times.values(pool):
                series = Series(times.name, tuple(attributes.items()))
                before_it = reading.times.get(series)
                reading.times[series] = histogram if before_it is None else before_it + histogram
    return reading


def reading_of_process(pools: Sequence[PoolSnapshot]) -> Reading:
    """What is told once for a process. Where pools work on several event loops, the lags are those of the one that was
    probed most often."""
    recent = max((float(number) for pool in pools for _, number in RECENT_LAG.values(pool)), default=0.0)
    lags = max((times for pool in pools for _, times in LAG.values(pool)), key=lambda each: each.count, default=None)
    return Reading({Series(WORKERS.name): 1, Series(RECENT_LAG.name): recent}, {Series(LAG.name): lags or Histogram()})
