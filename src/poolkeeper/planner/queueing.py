"""How long callers wait for a connection: M/M/c exactly, M/G/c and G/G/c nearly. Times are seconds, rates per second.

A pool is a queue with as many servers as it has connections; what occupies one is the time it is held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from poolkeeper.planner.erlang import erlang_b, erlang_c, waiting_share, waiting_shares
from poolkeeper.planner.numbers import BadNumber, at_least_zero, count, positive, share

KNEE_QUANTILE = 0.99
# Halvings of an interval after which two floats are neighbours.
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Waits:
    """The wait for one of `servers` where nobody is refused and nobody gives up.

    `stretch` is how much longer waits are than with Poisson arrivals and exponential holds. From a utilisation of 1 on
    the queue grows without end: then `is_stable` is False, and what would be infinite is None.
    """

    rate: float
    hold: float
    servers: int
    stretch: float
    utilisation: float
    waiting_probability: float

    @property
    def is_stable(self) -> bool:
        """Whether the queue ever empties."""
        return self.utilisation < 1

    @property
    def wait_of_the_waiting(self) -> float | None:
        """The mean wait of those who wait at all."""
        if not self.is_stable:
            return None
        return self.stretch * self.hold / (self.servers * (1 - self.utilisation))

    @property
    def mean_wait(self) -> float | None:
        """The mean over all callers, with those who need not wait."""
        waiting = self.wait_of_the_waiting
        return None if waiting is None else self.waiting_probability * waiting

    @property
    def mean_waiting(self) -> float | None:
        """How many wait, on average (Little's law)."""
        wait = self.mean_wait
        return None if wait is None else self.rate * wait

    def beyond(self, seconds: float) -> float:
        """The share of callers who wait longer than this; 1 where the queue grows without end."""
        at_least_zero(seconds=seconds)
        waiting = self.wait_of_the_waiting
        if waiting is None:
            return 1.0
        return self.waiting_probability * math.exp(-seconds / waiting)

    def quantile(self, portion: float) -> float | None:
        """The wait that this share of callers, such as 0.99, does not exceed."""
        share(portion=portion)
        waiting = self.wait_of_the_waiting
        if waiting is None:
            return None
        return (
            waiting * max(0.0, math.log(self.waiting_probability / (1 - portion))) if self.waiting_probability else 0.0
        )


def waits(rate: float, hold: float, servers: int, *, arrival_scv: float = 1.0, hold_scv: float = 1.0) -> Waits:
    """What callers wait who arrive `rate` times a second and hold a connection for `hold` seconds on average.

    Exact for Poisson arrivals and exponential holds (M/M/c, first come first served). With other squared coefficients
    of variation (variance / mean²: 0 for equal intervals, 1 for exponential ones) it is the approximation of Allen and
    Cunneen: the wait of M/M/c times (`arrival_scv` + `hold_scv`) / 2 (A. O. Allen, "Probability, Statistics and
    Queueing Theory with Computer Science Applications", 2nd ed. 1990, section 5.3.5), exact in the mean for M/G/1. It
    assumes that intervals and holds are independent of each other and of the load. How many wait is taken from M/M/c,
    and the tail as exponential with that mean. Beside the simulation, for 10 connections: with a `hold_scv` up to 1
    right within a fifth at a utilisation of 0.5 and a twentieth from 0.7 on; with 7 to 14 the mean is twice too long
    at 0.5 and a fifth too long at 0.85, which for a plan is the safe side.

    Raises `BadNumber`.
    """
    positive(rate=rate, hold=hold)
    count(servers=servers)
    load = rate * hold
    return _waits(
        rate, hold, servers, stretch_of(arrival_scv, hold_scv), waiting_share(servers, load, erlang_b(servers, load))
    )


def _waits(rate: float, hold: float, servers: int, stretch: float, waiting_probability: float) -> Waits:
    return Waits(rate, hold, servers, stretch, rate * hold / servers, waiting_probability)


def stretch_of(arrival_scv: float, hold_scv: float) -> float:
    """How much longer waits are than with Poisson arrivals and exponential holds, after Allen and Cunneen."""
    at_least_zero(arrival_scv=arrival_scv, hold_scv=hold_scv)
    if not arrival_scv and not hold_scv:
        raise BadNumber("arrival_scv and hold_scv are both 0: where nothing varies there is no queue to foretell")
    return (arrival_scv + hold_scv) / 2


# Inverse questions


def least_servers(
    rate: float, hold: float, wait: float, portion: float = 0.99, *, arrival_scv: float = 1.0, hold_scv: float = 1.0
) -> int:
    """The fewest connections with which this share of callers waits no longer than `wait` seconds.

    As exact as `waits`, and it takes one step per connection. Raises `BadNumber`.
    """
    positive(rate=rate, hold=hold)
    at_least_zero(wait=wait)
    share(portion=portion)
    stretch, load = stretch_of(arrival_scv, hold_scv), rate * hold
    for servers, waiting_probability in waiting_shares(load):
        if servers > load:
            quantile = _waits(rate, hold, servers, stretch, waiting_probability).quantile(portion)
            if quantile is not None and quantile <= wait:
                return servers
    raise AssertionError("more servers always wait less")


def largest_rate(
    hold: float, servers: int, wait: float, portion: float = 0.99, *, arrival_scv: float = 1.0, hold_scv: float = 1.0
) -> float:
    """The arrivals per second up to which this share of callers waits no longer than `wait` seconds.

    As exact as `waits`. Raises `BadNumber`.
    """
    positive(hold=hold, wait=wait)
    count(servers=servers)
    share(portion=portion)
    stretch, low, high = stretch_of(arrival_scv, hold_scv), 0.0, float(servers)
    for _ in range(_HALVINGS):
        load = (low + high) / 2
        if not low < load < high:
            break
        found = _waits(load / hold, hold, servers, stretch, erlang_c(servers, load)).quantile(portion)
        low, high = (load, high) if found is not None and found <= wait else (low, load)
    return low / hold


@dataclass(frozen=True, slots=True)
class Knee:
    """The rate (per second) and utilisation from which waiting grows faster than what it buys."""

    rate: float
    utilisation: float


def knee(hold: float, servers: int, *, arrival_scv: float = 1.0, hold_scv: float = 1.0) -> Knee:
    """Where the slowest hundredth of callers waits as long as a connection is held on average.

    Below it a connection costs its work, above it mostly the queue: for those callers the time doubles, and with every
    further per cent of load it grows by more than one per cent. There is no knee in the curve itself, so some such
    bound has to say where it is; this one needs no unit and no taste in latencies, and moves up with the pool's size as
    it should. Raises `BadNumber`.
    """
    rate = largest_rate(hold, servers, hold, KNEE_QUANTILE, arrival_scv=arrival_scv, hold_scv=hold_scv)
    return Knee(rate, rate * hold / servers)
