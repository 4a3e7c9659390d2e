"""How much holds vary: the squared coefficient of variation (variance / mean²) that waits depend on."""

from __future__ import annotations

import math

from poolkeeper.model import Histogram
from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.reasoned import Reasoned
from poolkeeper.planner.workload import Service

# How many standard deviations the 99th percentile of a normal distribution is above its mean.
_Z99 = 2.3263478740408408
# The 99th percentile of an exponential distribution, in means.
_EXPONENTIAL_P99 = math.log(100)


def hold_scv(service: Service) -> Reasoned[float]:
    """Of the holds of one service, from what is known about them; 1, exponential, where only the mean is."""
    if service.hold_histogram is not None:
        value = _of_histogram(service.hold_histogram, service.hold)
        formula = f"variance / mean² of {service.hold_histogram.count} holds in buckets = {value:.3g}"
        return Reasoned(value, formula, "the histogram, taken as even within its buckets", "measured holds")
    if service.hold_p99 is not None:
        value = _of_percentile(service.hold_p99 / service.hold)
        formula = f"lognormal holds, mean {in_words(service.hold)}, p99 {in_words(service.hold_p99)}: {value:.3g}"
        return Reasoned(value, formula, "lognormal distribution with this mean and p99", "times of work are skewed")
    return Reasoned(1.0, "exponential holds: 1", "M/M/c", "assumed, since only the mean is known")


def slow_hold(service: Service) -> float:
    """Seconds that 99 % of the holds stay below."""
    if service.hold_p99 is not None:
        return service.hold_p99
    measured = None if service.hold_histogram is None else service.hold_histogram.quantile(0.99)
    return _EXPONENTIAL_P99 * service.hold if measured is None else measured


def _of_percentile(ratio: float) -> float:
    # exp(z s - s²/2) is the 99th percentile of a lognormal distribution in means; solved for s.
    log = math.log(ratio)
    sigma = _Z99 - math.sqrt(_Z99**2 - 2 * log)
    return math.expm1(sigma**2)


def _of_histogram(measured: Histogram, mean: float) -> float:
    """Values are spread evenly in their bucket; those above the last bound are at least that."""
    bounds = measured.bounds
    edges = list(zip((0.0, *bounds), (*bounds, bounds[-1]), strict=True))
    squares = sum(
        count * (low * low + low * high + high * high) / 3
        for count, (low, high) in zip(measured.counts, edges, strict=True)
    )
    return max(0.0, squares / measured.count / mean**2 - 1)
