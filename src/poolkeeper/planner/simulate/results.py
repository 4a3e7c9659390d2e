"""What a simulation found: counts, waits, and how things went over time. Times are seconds."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poolkeeper.planner.simulate.requests import Outcome

if TYPE_CHECKING:
    from poolkeeper.planner.simulate.requests import Request
    from poolkeeper.planner.simulate.scenario import Scenario

_MOMENTS = 200


@dataclass(frozen=True, slots=True)
class Spread:
    """Many times, summed up; all 0 where `count` is. `waited` is the share of them above 0."""

    count: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    waited: float = 0.0

    @classmethod
    def of(cls, times: array[float]) -> Spread:
        if not times:
            return cls()
        values = np.frombuffer(times)
        p50, p95, p99 = (float(value) for value in np.quantile(values, (0.5, 0.95, 0.99)))
        waited = float(np.count_nonzero(values > 0)) / len(values)
        return cls(len(values), float(values.mean()), p50, p95, p99, float(values.max()), waited)


@dataclass(frozen=True, slots=True)
class Counts:
    """How attempts ended. Those abandoned used a connection, or waited for one, after their client had left."""

    served: int
    abandoned: int
    refused: int
    timed_out: int
    failed: int

    @property
    def attempts(self) -> int:
        return self.served + self.abandoned + self.refused + self.timed_out + self.failed


@dataclass(frozen=True, slots=True)
class OfEndpoint:
    """One endpoint: its attempts, their waits for a connection, and the time until the answer of those served."""

    name: str
    counts: Counts
    wait: Spread
    response: Spread


@dataclass(frozen=True, slots=True)
class Moments:
    """Equal spans of `width` seconds: how many attempts ended in each, and the most there was of the rest.

    `connections` are those that the server counts (with a pooler: its clients), `at_server` those of the pooler that
    work, `waiting` the callers that wait for a connection of their pool.
    """

    width: float
    served: tuple[int, ...]
    lost: tuple[int, ...]
    connections: tuple[int, ...]
    at_server: tuple[int, ...]
    waiting: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of all requests. `unanswered` are requests that gave up after their last retry.

    `wait` is that of all who got a connection of their pool, `pooler_wait` what they waited beyond that. `utilisation`
    is the share of all places in pools that were held, after `warm_up` and until `duration`.
    """

    requests: int
    unanswered: int
    counts: Counts
    wait: Spread
    pooler_wait: Spread
    response: Spread
    utilisation: float
    most_connections: int
    connects_refused: int
    endpoints: tuple[OfEndpoint, ...]
    moments: Moments


class Gauge:
    """The most there was of something, in each of equal spans."""

    __slots__ = ("_here", "_level", "_per_second", "peaks")

    def __init__(self, width: float) -> None:
        self._per_second = 1 / width
        self._here = self._level = 0
        self.peaks = [0] * _MOMENTS

    def set(self, now: float, level: int) -> None:
        """It is so much from now on."""
        here = int(now * self._per_second)
        if here > self._here:
            self._go_to(here)
        self._level = level
        if here < _MOMENTS and level > self.peaks[here]:
            self.peaks[here] = level

    def _go_to(self, here: int) -> None:
        for moment in range(self._here + 1, min(here + 1, _MOMENTS)):
            self.peaks[moment] = self._level
        self._here = here

    def finish(self) -> tuple[int, ...]:
        self._go_to(_MOMENTS)
        return tuple(self.peaks)


class Results:
    """Collects while the simulation runs."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._from, self._until = scenario.warm_up, scenario.duration
        self._width = scenario.duration / _MOMENTS
        names = range(len(scenario.endpoints))
        self._outcomes = [[0] * len(Outcome) for _ in names]
        self._waits, self._responses = [array("d") for _ in names], [array("d") for _ in names]
        self._pooler_waits = array("d")
        self._served, self._lost = [0] * _MOMENTS, [0] * _MOMENTS
        self._connections, self._waiting, self._at_server = (Gauge(self._width) for _ in range(3))
        self._busy = self._places = 0.0
        self.requests = self.unanswered = self.connects_refused = 0

    def counts(self, request: Request) -> bool:
        """Whether it came after the warm-up."""
        return request.arrival >= self._from

    def granted(self, request: Request, waited: float) -> None:
        """It has a connection of its pool."""
        if request.arrival >= self._from:
            self._waits[request.endpoint].append(waited)

    def granted_by_pooler(self, request: Request, waited: float) -> None:
        if request.arrival >= self._from:
            self._pooler_waits.append(waited)

    def held(self, since: float, until: float) -> None:
        """A place in a pool was in use."""
        span = (until if until < self._until else self._until) - (since if since > self._from else self._from)
        if span > 0:
            self._busy += span

    def offered(self, places: int, since: float, until: float) -> None:
        """A process had so many places."""
        self._places += places * max(0.0, min(until, self._until) - max(since, self._from))

    def over(self, request: Request, outcome: Outcome, now: float) -> None:
        """An attempt has ended."""
        moment = int(now / self._width)
        if moment < _MOMENTS:
            if outcome is Outcome.SERVED:
                self._served[moment] += 1
            else:
                self._lost[moment] += 1
        if request.arrival >= self._from:
            self._outcomes[request.endpoint][outcome] += 1
            if outcome is Outcome.SERVED:
                self._responses[request.endpoint].append(now - request.arrival)

    def connections(self, now: float, number: int) -> None:
        self._connections.set(now, number)

    def waiting(self, now: float, number: int) -> None:
        self._waiting.set(now, number)

    def at_server(self, now: float, number: int) -> None:
        self._at_server.set(now, number)

    def finish(self) -> Simulated:
        """Sum up."""
        endpoints = tuple(self._of_endpoints())
        whole = Counts(*(sum(column) for column in zip(*self._outcomes, strict=True)))
        return Simulated(
            requests=self.requests,
            unanswered=self.unanswered,
            counts=whole,
            wait=Spread.of(_together(self._waits)),
            pooler_wait=Spread.of(self._pooler_waits),
            response=Spread.of(_together(self._responses)),
            utilisation=self._busy / self._places if self._places else 0.0,
            most_connections=max(self._connections.finish()),
            connects_refused=self.connects_refused,
            endpoints=endpoints,
            moments=Moments(
                self._width,
                tuple(self._served),
                tuple(self._lost),
                self._connections.finish(),
                self._at_server.finish(),
                self._waiting.finish(),
            ),
        )

    def _of_endpoints(self) -> list[OfEndpoint]:
        columns = zip(self._scenario.endpoints, self._outcomes, self._waits, self._responses, strict=True)
        return [
            OfEndpoint(endpoint.name, Counts(*outcomes), Spread.of(waits), Spread.of(responses))
            for endpoint, outcomes, waits, responses in columns
        ]


def _together(parts: list[array[float]]) -> array[float]:
    if len(parts) == 1:
        return parts[0]
    whole = array("d")
    for part in parts:
        whole.extend(part)
    return whole
