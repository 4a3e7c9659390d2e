"""Who is not served: refused by a bounded queue, or out of patience. Times are seconds, rates per second.

The model is M/M/c with at most `max_waiting` in a queue first come first served, which each leaves who has waited for
`timeout`. With a constant patience it has an exact solution: D. Y. Barrer, "Queuing with impatient customers and
ordered service", Operations Research 5 (1957), 650-656; with any patience F. Baccelli and G. Hebuterne, "On queues with
impatient customers", Performance '81; and with arrivals that depend on the queue, which a bound of it is, A. Brandt and
M. Brandt, "On the M(n)/M(m)/s queue with impatient calls", Performance Evaluation 35 (1999), 1-18. There the state with
c + l callers is p(c) rho^l P(N >= l) likely, N being Poisson with mean c timeout / hold: no more can be served while
somebody has patience. Everything here follows from that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from poolkeeper.planner.erlang import erlang_b
from poolkeeper.planner.numbers import BadNumber, at_least_zero, count, positive, share
from poolkeeper.planner.queueing import stretch_of
from poolkeeper.policy import Admission
from poolkeeper.policy.admission import STANDING_SHARE

LONGEST_QUEUE = 10_000_000
# In a larger overload floats no longer tell the served from none at all.
LARGEST_OVERLOAD = 1e6
# Beyond the mean of a Poisson number by so many standard deviations, and so many more, is practically never.
_DEVIATIONS, _MORE = 12, 50
_HALVINGS = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Losses:
    """What becomes of callers. `refused` and `timed_out` are shares of all of them, `waiting` the share that waits.

    `mean_wait` is that of the served, with those who need not wait. Unlike in `Waits`, any load is stable.
    """

    rate: float
    hold: float
    servers: int
    max_waiting: int | None
    timeout: float | None
    refused: float
    timed_out: float
    waiting: float
    mean_wait: float
    _tail: _Bounded | _Unbounded = field(repr=False, compare=False)

    @property
    def served(self) -> float:
        """The share that gets a connection."""
        return 1 - self.refused - self.timed_out

    @property
    def utilisation(self) -> float:
        """The share of connections in use."""
        return self.rate * self.hold / self.servers * self.served

    @property
    def refusals_per_second(self) -> float:
        return self.rate * self.refused

    @property
    def timeouts_per_second(self) -> float:
        return self.rate * self.timed_out

    def beyond(self, seconds: float) -> float:
        """The share of the served who waited longer than this."""
        at_least_zero(seconds=seconds)
        if self.timeout is not None and seconds >= self.timeout:
            return 0.0
        return min(1.0, max(0.0, self._tail.beyond(seconds) - self.timed_out) / self.served)

    def quantile(self, portion: float) -> float:
        """The wait that this share of the served, such as 0.99, does not exceed."""
        share(portion=portion)
        low, high = 0.0, self._tail.longest
        if self.beyond(low) <= 1 - portion:
            return 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.beyond(middle) > 1 - portion else (low, middle)
        return high


def losses(
    rate: float,
    hold: float,
    servers: int,
    *,
    timeout: float | None,
    max_waiting: int | None = None,
    arrival_scv: float = 1.0,
    hold_scv: float = 1.0,
) -> Losses:
    """What becomes of callers who wait behind at most `max_waiting` others, for at most `timeout` seconds.

    None is no such bound; without either nobody is lost, and `waits` is what to ask. Exact for Poisson arrivals and
    exponential holds. For other squared coefficients of variation both bounds are divided by their mean: a queue that
    varies so much more is as often at its bound as one that is so much shorter (what a diffusion with two barriers
    says). Beside the simulation, for 10 connections near full load and above it: the share lost is right within a fifth
    with a `hold_scv` up to 1, and up to 1.7 times too large with 14, the served waiting a third too short.

    Raises `BadNumber`.
    """
    _check(rate, hold, servers, timeout, max_waiting)
    stretch, load = stretch_of(arrival_scv, hold_scv), rate * hold
    if load / servers > LARGEST_OVERLOAD:
        raise BadNumber(f"rate x hold is {load:.3g} for {servers} servers: nothing is left to foretell of such a load")
    pace = stretch * hold / servers
    steps = math.inf if timeout is None else timeout / pace
    places = _places(load / servers * steps, max_waiting, stretch)
    blocked = erlang_b(servers, load)
    queue = _Queue(load / servers, steps, pace, math.log((1 - blocked) / blocked) if blocked else math.inf)
    tail = _Unbounded(queue) if places is None else _Bounded(queue, places)
    served = 1 - tail.refused - tail.timed_out
    in_vain = 0.0 if timeout is None else timeout * tail.timed_out
    mean_wait = max(0.0, tail.waiting_time - in_vain) / served
    return Losses(
        rate, hold, servers, max_waiting, timeout, tail.refused, tail.timed_out, tail.beyond(0.0), mean_wait, tail
    )


def standing_queue(
    hold: float,
    servers: int,
    *,
    timeout: float,
    client_timeout: float | None = None,
    max_waiting: int | None = None,
) -> int:
    """How long a queue KeeperPool lets stand: the `max_waiting` with which `losses` foretells its refusals.

    It refuses who would wait longer than is worth beginning, and foretells waits from the pace of the queue, which is
    `hold` / `servers` (docs/decisions/admission.md). A burst into an empty queue may fill it up to four times that with
    a `client_timeout`. Raises `BadNumber`.
    """
    _check(1.0, hold, servers, timeout, max_waiting)
    if client_timeout is not None:
        positive(client_timeout=client_timeout)
    admission = Admission(timeout, client_timeout, max_waiting)
    admission.held(hold)
    limit = admission.patience * (1.0 if client_timeout is None else STANDING_SHARE)
    foretold = math.floor(limit * servers / hold)
    return foretold if max_waiting is None else min(foretold, max_waiting)


def _check(rate: float, hold: float, servers: int, timeout: float | None, max_waiting: int | None) -> None:
    positive(rate=rate, hold=hold)
    count(servers=servers)
    if timeout is not None:
        at_least_zero(timeout=timeout)
    if max_waiting is not None:
        count(0, max_waiting=max_waiting)
    if timeout is None and (max_waiting is None or max_waiting > LONGEST_QUEUE):
        raise BadNumber(f"timeout is None and max_waiting is {max_waiting}: the queue needs a bound of either kind")


def _places(arrivals: float, max_waiting: int | None, stretch: float) -> int | None:
    """The places of the queue that the model counts; None where so many `arrivals` in a timeout never fill it."""
    if max_waiting is None:
        return None
    places = math.ceil(max_waiting / stretch)
    never = arrivals + _DEVIATIONS * math.sqrt(arrivals) + _MORE
    return None if places > never else places


@dataclass(frozen=True, slots=True)
class _Queue:
    """What both kinds have in common. `steps` is the patience in units of `pace`, the time between two hand-overs.

    `idle` is the logarithm of how much likelier a free server is than all of them busy with nobody waiting.
    """

    utilisation: float
    steps: float
    pace: float
    idle: float

    def all_busy(self, log_weight: float, scale: float = 0.0) -> float:
        """The logarithm of that latter probability; the states with all busy weigh so many times as much.

        Of that the weight leaves out a factor of exp(`scale`), which the probability is multiplied with in turn.
        """
        return -float(np.logaddexp(self.idle - scale, log_weight))


class _Unbounded:
    """A queue without end, which only patience bounds.

    The wait offered to an arrival has a density like exp(-drift x) up to the patience and exp(-x) beyond it, in steps.
    In overload that grows; everything is divided by exp(`_scale`), its largest value, then.
    """

    refused = 0.0

    def __init__(self, queue: _Queue) -> None:
        self._queue, self._drift = queue, 1 - queue.utilisation
        self._scale = max(0.0, -self._drift * queue.steps)
        self.longest = queue.steps * queue.pace
        self._all_busy = math.exp(queue.all_busy(math.log(self._weight(0.0)), self._scale))
        self.timed_out = self._all_busy * self._height(queue.steps)
        self.waiting_time = self._all_busy * queue.pace * self._area()

    def beyond(self, seconds: float) -> float:
        """The share of all callers to whom a longer wait is offered."""
        return self._all_busy * self._weight(min(seconds, self.longest) / self._queue.pace)

    def _height(self, step: float) -> float:
        return math.exp(-self._drift * step - self._scale)

    def _weight(self, step: float) -> float:
        """The integral of the density from this step on."""
        left, end = self._queue.steps - step, self._height(self._queue.steps)
        bend = abs(self._drift * left)
        mean_height = -math.expm1(-bend) / bend if bend else 1.0
        return max(self._height(step), end) * left * mean_height + end

    def _area(self) -> float:
        """The integral of `_weight` over all steps that a caller has patience for."""
        steps, turn = self._queue.steps, self._drift * self._queue.steps
        if abs(turn) < 1e-3:
            # The difference below would be lost to rounding; its first terms are precise enough.
            moment = (1 / 2 - turn / 3 + turn**2 / 8) * self._height(0.0)
        elif turn > 0:
            moment = (-math.expm1(-turn) - turn * math.exp(-turn)) / turn**2
        else:
            moment = (math.expm1(turn) - turn) / turn**2
        return steps**2 * moment + steps * self._height(steps)


class _Bounded:
    """A queue with so many places, for callers of any patience."""

    def __init__(self, queue: _Queue, places: int) -> None:
        self._queue, self._places = queue, places
        ahead = np.arange(places + 1, dtype=np.float64)
        self._growth: Floats = ahead * math.log(queue.utilisation)
        self._reach = _log_at_least(places, queue.steps)
        weights: Floats = self._growth + self._reach
        self._all_busy = queue.all_busy(float(np.logaddexp.reduce(weights)))
        states: Floats = np.exp(self._all_busy + weights)
        self.refused = float(states[-1])
        self.waiting_time = float(ahead @ states) * queue.pace / queue.utilisation
        out_of_patience: Floats = self._all_busy + self._growth + _log_exactly(places, queue.steps)
        self.timed_out = float(np.exp(out_of_patience[:-1]).sum())
        never = places + _DEVIATIONS * math.sqrt(places) + _MORE
        self.longest = queue.pace * min(queue.steps, never)

    def beyond(self, seconds: float) -> float:
        """The share of all callers to whom a longer wait is offered."""
        if not self._places:
            return 0.0
        # Served within so many steps: one more than wait ahead.
        in_time = _log_at_least(self._places, seconds / self._queue.pace)[1:]
        before = self._all_busy + self._growth[:-1]
        return float((np.exp(before + self._reach[:-1]) - np.exp(before + in_time)).sum())


def _log_exactly(most: int, mean: float) -> Floats:
    """The logarithms of the probabilities that a Poisson number is 0, 1 ... `most`."""
    numbers = np.arange(most + 1, dtype=np.float64)
    if mean in (0.0, math.inf):
        return np.where((numbers == 0) & (mean == 0.0), 0.0, -math.inf)
    steps = math.log(mean) - np.log(np.maximum(numbers, 1))
    steps[0] = -mean
    return np.cumsum(steps)


def _log_at_least(most: int, mean: float) -> Floats:
    """The logarithms of the probabilities that a Poisson number is at least 0, 1 ... `most`, however small."""
    margin = _DEVIATIONS * math.sqrt(mean) + _MORE
    if mean == math.inf or most <= mean - margin:
        return np.zeros(most + 1)
    last = max(most, math.ceil(mean + margin))
    found = _log_exactly(last, mean)
    # So far out each number is mean / number times as likely as the one before, and their sum a geometric one.
    found[-1] -= math.log1p(-mean / (last + 1))
    return np.logaddexp.accumulate(found[::-1])[::-1][: most + 1]
