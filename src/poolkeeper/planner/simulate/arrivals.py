"""When requests come: times in seconds from the start, in order, in batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poolkeeper.planner.numbers import BadNumber, at_least_zero, positive

Floats: TypeAlias = NDArray[np.float64]
_BATCH = 65_536


class Arrivals(Protocol):
    """A process of arrivals; `rate` is its mean (per second)."""

    @property
    def rate(self) -> float: ...

    def times(self, dice: np.random.Generator) -> Iterator[Floats]:
        """Batches of increasing times; an endless process never ends."""
        ...


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent requests, `rate` per second on average: what many clients that know nothing of each other send."""

    rate: float

    def __post_init__(self) -> None:
        positive(rate=self.rate)

    def times(self, dice: np.random.Generator) -> Iterator[Floats]:
        now = 0.0
        while True:
            batch: Floats = now + np.cumsum(dice.exponential(1 / self.rate, _BATCH))
            yield batch
            now = float(batch[-1])


@dataclass(frozen=True, slots=True)
class Bursts:
    """Poisson arrivals whose rate changes between `calm` and `burst` (per second): a two-state MMPP.

    Calm spells last `calm_seconds` on average, bursts `burst_seconds`, both exponentially distributed.
    """

    calm: float
    burst: float
    calm_seconds: float
    burst_seconds: float

    def __post_init__(self) -> None:
        at_least_zero(calm=self.calm)
        positive(burst=self.burst, calm_seconds=self.calm_seconds, burst_seconds=self.burst_seconds)

    @property
    def rate(self) -> float:
        whole = self.calm_seconds + self.burst_seconds
        return (self.calm * self.calm_seconds + self.burst * self.burst_seconds) / whole

    def times(self, dice: np.random.Generator) -> Iterator[Floats]:
        now = 0.0
        for rate, mean in itertools.cycle(((self.calm, self.calm_seconds), (self.burst, self.burst_seconds))):
            length = float(dice.exponential(mean))
            # Given their number, the arrivals of a Poisson process are spread evenly.
            yield now + np.sort(dice.uniform(0.0, length, dice.poisson(rate * length)))
            now += length


@dataclass(frozen=True, slots=True)
class Trace:
    """Measured times (seconds), in order; nothing comes after the last."""

    at: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.at) < 2:
            raise BadNumber(f"a trace of {len(self.at)} arrivals: two are needed at least")
        if not np.all(np.isfinite(self.at)) or self.at[0] < 0 or np.any(np.diff(self.at) < 0):
            raise BadNumber("the times of a trace have to be finite, not negative, and in order")
        if self.at[-1] == self.at[0]:
            raise BadNumber("all arrivals of the trace come in the same moment: it says nothing about a rate")

    @property
    def rate(self) -> float:
        return (len(self.at) - 1) / (self.at[-1] - self.at[0])

    def times(self, dice: np.random.Generator) -> Iterator[Floats]:  # noqa: ARG002 - nothing is left to chance
        yield np.asarray(self.at, dtype=np.float64)
