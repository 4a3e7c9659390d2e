"""How much holds vary: the assumed distribution, and its squared coefficient of variation (variance / mean²)."""

from __future__ import annotations

import math

from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.reasoned import Reasoned
from poolkeeper.planner.simulate.holds import Exponential, Holds, Lognormal, Measured
from poolkeeper.planner.workload import Service

# The 99th percentile of an exponential distribution, in means.
_EXPONENTIAL_P99 = math.log(100)


def holds_of(service: Service) -> Holds:
    """The holds of one service as far as they are known; exponential ones where only the mean is."""
    if service.hold_histogram is not None:
        return Measured(service.hold_histogram)
    if service.hold_p99 is not None:
        return Lognormal(service.hold, service.hold_p99)
    return Exponential(service.hold)


def hold_scv(service: Service) -> Reasoned[float]:
    """Of the holds of one service; waits depend on it."""
    value = holds_of(service).scv
    if service.hold_histogram is not None:
        formula = f"variance / mean² of {service.hold_histogram.count} holds in buckets = {value:.3g}"
        return Reasoned(value, formula, "the histogram, taken as even within its buckets", "measured holds")
    if service.hold_p99 is not None:
        formula = f"lognormal holds, mean {in_words(service.hold)}, p99 {in_words(service.hold_p99)}: {value:.3g}"
        return Reasoned(value, formula, "lognormal distribution with this mean and p99", "times of work are skewed")
    return Reasoned(value, "exponential holds: 1", "M/M/c", "assumed, since only the mean is known")


def slow_hold(service: Service) -> float:
    """Seconds that 99 % of the holds stay below."""
    if service.hold_p99 is not None:
        return service.hold_p99
    measured = None if service.hold_histogram is None else service.hold_histogram.quantile(0.99)
    return _EXPONENTIAL_P99 * service.hold if measured is None else measured
