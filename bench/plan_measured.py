"""What callers of the reference service do and meet: workloads, requests, and the figures that are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import fmean, pvariance

import numpy as np
from bench.plan_service import Schedule, Seen, Span, calls_of, offer, reference
from bench.report import Cell, quantile

from poolkeeper.model import Histogram
from poolkeeper.planner import simulate as sim
from poolkeeper.planner.queueing import knee

POOL, HOLD = 5, 0.04
CAPACITY = POOL / HOLD
POOL_TIMEOUT, PATIENCE = 10.0, 1.0
# Differences that are nobody's concern.
NO_WAIT, NO_SHARE = 0.002, 0.01
BUCKETS = 200


@dataclass(frozen=True)
class Workload:
    """Arrivals and holds, in poolkeeper's own words; `reason` is why the formula cannot know them."""

    name: str
    arrivals: sim.Arrivals
    holds: sim.Holds
    reason: str = ""

    def schedule(self, span: Span, seed: int) -> Schedule:
        """One run of it."""
        times: list[float] = []
        for batch in self.arrivals.times(np.random.default_rng(seed)):
            times += [float(each) for each in batch if each < span.whole]
            # A short spell may have none.
            if len(batch) and batch[-1] >= span.whole:
                break
        return Schedule(times, self.holds.draw(np.random.default_rng(seed + 1), len(times)).tolist())


SHORT, LONG = HOLD / 4, HOLD * 4
WORKLOADS = (
    Workload("light", sim.Poisson(0.25 * CAPACITY), sim.Exponential(HOLD)),
    Workload("near the knee", sim.Poisson(knee(HOLD, POOL).rate), sim.Exponential(HOLD)),
    Workload("overloaded, shedding", sim.Poisson(1.5 * CAPACITY), sim.Exponential(HOLD)),
    Workload(
        "bimodal hold",
        sim.Poisson(0.55 * CAPACITY),
        sim.Bimodal(SHORT, LONG, 0.2),
        "two kinds of holds have a longer tail than mean and variance tell",
    ),
    Workload(
        "bursty",
        sim.Bursts(0.4 * CAPACITY, 1.4 * CAPACITY, 1.0, 0.25),
        sim.Exponential(HOLD),
        "arrivals are no Poisson process: bursts last longer than a queue remembers",
    ),
)


@dataclass(frozen=True)
class Request:
    """One caller: when it asked (on the monotonic clock), how long it meant to hold, and how long (seconds) it waited
    and held, if it was served."""

    asked: float
    planned: float
    wait: float | None = None
    hold: float | None = None


@dataclass(frozen=True)
class Measured:
    """What one service told: `real` is how it went. `places` is how many could be served at once.

    `requests` are in the order in which they asked. Those that asked before `seen.before` or after `seen.after` do not
    count.
    """

    workload: Workload
    places: int
    seen: Seen
    requests: Sequence[Request]
    real: Figures

    @property
    def rate(self) -> float:
        return self.seen.told.calls

    @property
    def holds(self) -> list[float]:
        counted = (request.hold for request in self.requests if self.seen.counts(request.asked))
        return [hold for hold in counted if hold is not None]

    @property
    def mean_hold(self) -> float:
        return fmean(self.holds)

    @property
    def scv(self) -> float:
        return pvariance(self.holds) / self.mean_hold**2

    def histogram(self) -> Histogram:
        """The holds in so many buckets that nothing is lost."""
        bounds = sorted({quantile(self.holds, share / BUCKETS) for share in range(1, BUCKETS)} | {max(self.holds)})
        counts = np.histogram(self.holds, [-math.inf, *np.nextafter(bounds, math.inf)])[0]
        return Histogram((*map(int, counts), 0), sum(self.holds), tuple(bounds))

    @property
    def beyond(self) -> float:
        """How much longer (seconds) a hold is on average than the caller meant."""
        return fmean(request.hold - request.planned for request in self.requests if request.hold is not None)

    def same_holds(self) -> Replayed:
        """The holds of all requests; of those that were not served, what they would have taken."""
        beyond = self.beyond
        return Replayed(tuple(each.planned + beyond if each.hold is None else each.hold for each in self.requests))


@dataclass(frozen=True)
class Replayed:
    """Holds in the order of the requests that had them."""

    times: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.times)

    @property
    def scv(self) -> float:
        return pvariance(self.times) / self.mean**2

    def draw(self, dice: np.random.Generator, number: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:  # noqa: ARG002
        return np.array(self.times[:number])


@dataclass(frozen=True)
class Figures:
    """The share of places in use, mean and p99 wait (seconds) of the served, and the share that was not served."""

    utilisation: float
    mean: float
    p99: float
    lost: float

    def cells(self) -> tuple[Cell, ...]:
        return f"{self.utilisation:.1%}", self.mean * 1000, self.p99 * 1000, f"{self.lost:.1%}"

    def off(self, measured: Figures) -> float:
        """The largest deviation from what was measured, as a share of it; small differences do not count."""
        return max(
            _off(self.utilisation, measured.utilisation, NO_SHARE),
            _off(self.mean, measured.mean, NO_WAIT),
            _off(self.p99, measured.p99, NO_WAIT),
            _off(self.lost, measured.lost, NO_SHARE),
        )


def _off(predicted: float, measured: float, nothing: float) -> float:
    difference = abs(predicted - measured)
    return 0.0 if difference <= nothing else difference / max(measured, nothing)


def direct(url: str, load: ProcessPoolExecutor, workload: Workload, span: Span, seed: int) -> Measured:
    """The service with one pool in front of the server itself. Of the waits, its metrics have the mean and its trace
    the 99th percentile, for which their buckets are too wide."""
    settings = {"pool_size": POOL, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT, "client_timeout": PATIENCE}
    with reference(url, settings) as service:
        seen = load.submit(offer, service.address, workload.schedule(span, seed), span, PATIENCE).result()
        calls = calls_of(service)
    requests = [Request(call["asked"], call["planned"], call["wait"], call["hold"]) for call in calls]
    waits = [request.wait for request in requests if request.wait is not None and seen.counts(request.asked)]
    told = seen.told
    busy = told.holds.total / seen.seconds / POOL
    return Measured(
        workload, POOL, seen, requests, Figures(busy, told.waits.mean or 0.0, quantile(waits, 0.99), seen.lost)
    )
