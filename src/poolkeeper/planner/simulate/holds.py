"""How long a request holds its connection (seconds)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from poolkeeper.model import Histogram
from poolkeeper.planner.numbers import BadNumber, positive
from poolkeeper.planner.simulate.arrivals import Floats

# The 99th percentile of the standard normal distribution.
_Z99 = 2.3263478740408408


class Holds(Protocol):
    """A distribution of holds. `scv` is its squared coefficient of variation: variance / mean²."""

    @property
    def mean(self) -> float: ...

    @property
    def scv(self) -> float: ...

    def draw(self, dice: np.random.Generator, number: int) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Every hold takes the same."""

    mean: float

    def __post_init__(self) -> None:
        positive(mean=self.mean)

    @property
    def scv(self) -> float:
        return 0.0

    def draw(self, dice: np.random.Generator, number: int) -> Floats:  # noqa: ARG002 - nothing is left to chance
        return np.full(number, self.mean)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Many short holds and few long ones, as Erlang assumes."""

    mean: float

    def __post_init__(self) -> None:
        positive(mean=self.mean)

    @property
    def scv(self) -> float:
        return 1.0

    def draw(self, dice: np.random.Generator, number: int) -> Floats:
        return dice.exponential(self.mean, number)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """What response times mostly look like; given by what is measured of them, the mean and the 99th percentile.

    Raises `BadNumber` for a percentile below the mean, or so far above it (15 times) that no lognormal has both.
    """

    mean: float
    p99: float

    def __post_init__(self) -> None:
        positive(mean=self.mean, p99=self.p99)
        # With mean exp(m + s²/2) and percentile exp(m + z s), s solves s²/2 - z s + ln(p99 / mean) = 0: s <= z.
        most = self.mean * math.exp(_Z99**2 / 2)
        if not self.mean <= self.p99 <= most:
            raise BadNumber(
                f"p99 is {self.p99!r} with a mean of {self.mean!r}: a lognormal has it between the mean and {most:.6g}"
            )

    @property
    def _sigma(self) -> float:
        return _Z99 - math.sqrt(max(0.0, _Z99**2 - 2 * math.log(self.p99 / self.mean)))

    @property
    def scv(self) -> float:
        return math.expm1(self._sigma**2)

    def draw(self, dice: np.random.Generator, number: int) -> Floats:
        sigma = self._sigma
        return dice.lognormal(math.log(self.mean) - sigma**2 / 2, sigma, number)


@dataclass(frozen=True, slots=True)
class Bimodal:
    """Two kinds of work, each exponential: `slow_share` of all holds take `slow` on average, the others `fast`."""

    fast: float
    slow: float
    slow_share: float

    def __post_init__(self) -> None:
        positive(fast=self.fast, slow=self.slow, slow_share=self.slow_share)
        if self.slow_share >= 1:
            raise BadNumber(f"slow_share is {self.slow_share!r}: a share below 1 is needed")

    @property
    def mean(self) -> float:
        return self.fast * (1 - self.slow_share) + self.slow * self.slow_share

    @property
    def scv(self) -> float:
        square = 2 * (self.fast**2 * (1 - self.slow_share) + self.slow**2 * self.slow_share)
        return square / self.mean**2 - 1

    def draw(self, dice: np.random.Generator, number: int) -> Floats:
        means = np.where(dice.random(number) < self.slow_share, self.slow, self.fast)
        return dice.standard_exponential(number) * means


@dataclass(frozen=True, slots=True)
class Measured:
    """Holds as a histogram counted them, spread evenly within each bucket.

    Where its own mean is known (`total`), all of them are scaled so that the mean is that. What lies above the last
    bound is taken as equal to it before. Raises `BadNumber` for an empty histogram.
    """

    histogram: Histogram

    def __post_init__(self) -> None:
        if not self.histogram.count or min(self.histogram.counts) < 0:
            raise BadNumber("the histogram of holds has counted nothing, or less than nothing")

    @property
    def _buckets(self) -> tuple[Floats, Floats, Floats]:
        """The lower and upper bounds, and the shares, of the buckets."""
        bounds = self.histogram.bounds
        low, high = np.array([0.0, *bounds]), np.array([*bounds, bounds[-1]])
        shares = np.array(self.histogram.counts) / self.histogram.count
        even = float(shares @ (low + high)) / 2
        scale = (self.histogram.mean or even) / even
        return low * scale, high * scale, shares

    @property
    def mean(self) -> float:
        low, high, shares = self._buckets
        return float(shares @ (low + high)) / 2

    @property
    def scv(self) -> float:
        low, high, shares = self._buckets
        return float(shares @ (low**2 + low * high + high**2)) / 3 / self.mean**2 - 1

    def draw(self, dice: np.random.Generator, number: int) -> Floats:
        low, high, shares = self._buckets
        chosen = dice.choice(len(shares), number, p=shares)
        return low[chosen] + (high - low)[chosen] * dice.random(number)
