"""How waits change with the load and with the hold time, around the point of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from poolkeeper.planner.figures import QueueFigures, knee_of, queue_of
from poolkeeper.planner.sizing import Load, Sizing
from poolkeeper.planner.workload import Service

# A curve goes somewhat beyond what the pools can serve: what happens there is what the reader wants to know.
_BEYOND = 1.25
_POINTS = 80


@dataclass(frozen=True, slots=True)
class Point:
    """What callers meet with so many checkouts per second, of all processes, and such a mean hold (seconds)."""

    rate: float
    hold: float
    figures: QueueFigures


@dataclass(frozen=True, slots=True)
class Curves:
    """The points of one service over its rates and over its hold times, with its pools as they are.

    `knee` and `full` are rates: from the one on waiting grows faster than what it buys, at the other every connection
    is always in use. `full_hold` is the hold with which that is so at peak.
    """

    service: Service
    sizing: Sizing
    by_rate: tuple[Point, ...]
    by_hold: tuple[Point, ...]
    peak: Point
    burst: Point
    knee: float
    full: float
    full_hold: float


def curves_of(service: Service, sizing: Sizing) -> Curves:
    """Everything that is drawn of a service. Raises `BadNumber` where no formula can be asked."""
    rate, hold, connections = service.checkouts, service.hold, service.processes * sizing.capacity
    full, full_hold = connections / hold, connections / rate
    burst = rate * service.burst
    # A burst far beyond all capacity would leave the rest no room.
    highest = _BEYOND * max(full, rate, min(burst, 2 * full))
    return Curves(
        service,
        sizing,
        tuple(_at(service, sizing, each, hold) for each in _up_to(highest)),
        tuple(_at(service, sizing, rate, each) for each in _up_to(_BEYOND * max(full_hold, hold))),
        _at(service, sizing, rate, hold),
        _at(service, sizing, burst, hold),
        knee_of(service, sizing).rate,
        full,
        full_hold,
    )


def _at(service: Service, sizing: Sizing, rate: float, hold: float) -> Point:
    load = Load("", rate / service.processes, service.processes)
    return Point(rate, hold, queue_of(_holding(service, hold), sizing, load))


def _holding(service: Service, hold: float) -> Service:
    """The service with all of its holds longer, or shorter, by the same factor."""
    factor = hold / service.hold
    measured, slow = service.hold_histogram, service.hold_p99
    if measured is not None:
        measured = replace(
            measured, bounds=tuple(bound * factor for bound in measured.bounds), total=measured.total * factor
        )
    return replace(service, hold=hold, hold_p99=None if slow is None else slow * factor, hold_histogram=measured)


def _up_to(most: float) -> Iterator[float]:
    return (most * number / _POINTS for number in range(1, _POINTS + 1))
