"""What is simulated: who asks for what, of which processes, on which database, and what happens to them meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

from poolkeeper.planner.numbers import BadNumber, at_least_zero, count, positive
from poolkeeper.planner.simulate.arrivals import Arrivals
from poolkeeper.planner.simulate.holds import Holds
from poolkeeper.policy import Limits


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A kind of request: its part of all (any unit; they are added up), and how long it holds a connection."""

    holds: Holds
    share: float = 1.0
    name: str = "all"

    def __post_init__(self) -> None:
        positive(share=self.share)


@dataclass(frozen=True, slots=True)
class Clients:
    """Whoever waits for the service. They leave after `timeout` seconds (None: never), which the service goes on not
    knowing: the work is done for nobody.

    A request that failed, or that was left, is tried again up to `retries` times, after a pause that doubles from
    `pause` seconds, with full jitter.
    """

    timeout: float | None = None
    retries: int = 0
    pause: float = 0.1

    def __post_init__(self) -> None:
        positive(pause=self.pause)
        count(0, retries=self.retries)
        if self.timeout is not None:
            positive(timeout=self.timeout)


@dataclass(frozen=True, slots=True)
class KeeperPolicy:
    """KeeperPool: its own queue, admission and outage rules run in the simulation. Arguments as there.

    Not simulated: pings, `recycle`, `max_idle`. A request asks at once when it comes, for one connection, and returns
    it: nobody's patience is used up before, nobody has one and wants another, and none leaks.
    """

    limits: Limits
    timeout: float = 30.0
    client_timeout: float | None = None
    max_waiting: int | None = None
    connect_grace: float = 5.0
    overflow_linger: float = 5.0

    def __post_init__(self) -> None:
        _check_limits(self.limits)
        at_least_zero(timeout=self.timeout, connect_grace=self.connect_grace, overflow_linger=self.overflow_linger)
        if self.client_timeout is not None:
            positive(client_timeout=self.client_timeout)
        if self.max_waiting is not None:
            count(0, max_waiting=self.max_waiting)


@dataclass(frozen=True, slots=True)
class StockPolicy:
    """SQLAlchemy's `AsyncAdaptedQueuePool` with `pool_pre_ping`, as its code acts (2.1).

    A caller that is woken runs `turn` seconds later, one turn of a busy event loop: 0.4 ms, with which the overload of
    bench/results/overload.md serves as many as it did there. Whoever comes in between takes the connection, and the
    woken one queues again, at the end. Nobody is refused. A connect is made by a caller, and when
    it fails nobody else is woken.
    """

    pool_size: int = 5
    max_overflow: int = 10
    timeout: float = 30.0
    turn: float = 0.0004

    def __post_init__(self) -> None:
        count(pool_size=self.pool_size)
        count(0, max_overflow=self.max_overflow)
        at_least_zero(timeout=self.timeout, turn=self.turn)


Policy: TypeAlias = KeeperPolicy | StockPolicy


@dataclass(frozen=True, slots=True)
class Fleet:
    """`pods` with `workers` processes each; every process has a pool. Requests go to one at random, or in turn."""

    pods: int = 1
    workers: int = 1
    balancing: Literal["random", "round-robin"] = "random"

    def __post_init__(self) -> None:
        count(pods=self.pods, workers=self.workers)
        if self.balancing not in ("random", "round-robin"):
            raise BadNumber(f"balancing is {self.balancing!r}: random or round-robin is needed")


@dataclass(frozen=True, slots=True)
class Deploy:
    """A rolling deploy: `surge` new pods start, are ready after `startup` seconds, then as many old ones stop; repeat.

    A pod that stops gets no new requests, and ends when it has answered those it has, or after `grace` seconds. It does
    not count any more, as in Kubernetes: the next new ones start while it does.
    """

    at: float
    surge: int = 1
    startup: float = 5.0
    grace: float = 30.0

    def __post_init__(self) -> None:
        at_least_zero(at=self.at, startup=self.startup, grace=self.grace)
        count(surge=self.surge)


@dataclass(frozen=True, slots=True)
class Scale:
    """From `at` on there are `pods`. With a `grace` of 0 those that go are lost at once, as when a zone dies."""

    at: float
    pods: int
    startup: float = 5.0
    grace: float = 30.0

    def __post_init__(self) -> None:
        at_least_zero(at=self.at, startup=self.startup, grace=self.grace)
        count(pods=self.pods)


@dataclass(frozen=True, slots=True)
class Restart:
    """The database is away for `seconds`: all connections end, and connects are refused in `refusal` seconds."""

    at: float
    seconds: float
    refusal: float = 0.001

    def __post_init__(self) -> None:
        at_least_zero(at=self.at)
        positive(seconds=self.seconds, refusal=self.refusal)


@dataclass(frozen=True, slots=True)
class Database:
    """A connect takes `connect` seconds, and is refused beyond `max_connections` (None: never)."""

    connect: float = 0.01
    max_connections: int | None = None
    restarts: tuple[Restart, ...] = ()

    def __post_init__(self) -> None:
        positive(connect=self.connect)
        if self.max_connections is not None:
            count(max_connections=self.max_connections)
        ends = [(restart.at, restart.at + restart.seconds) for restart in self.restarts]
        if any(later[0] <= earlier[1] for earlier, later in pairwise(ends)):
            raise BadNumber("restarts of the database have to follow each other, each after the end of the one before")


@dataclass(frozen=True, slots=True)
class Pooler:
    """A transaction pooler in between: `size` connections to the server, shared by all processes, first come first
    served. While the database is away it keeps its clients waiting. It takes any number of them."""

    size: int

    def __post_init__(self) -> None:
        count(size=self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One service for `duration` seconds; what comes in the first `warm_up` seconds of them is not counted."""

    arrivals: Arrivals
    endpoints: tuple[Endpoint, ...]
    policy: Policy
    duration: float
    warm_up: float = 0.0
    fleet: Fleet = field(default_factory=Fleet)
    clients: Clients = field(default_factory=Clients)
    database: Database = field(default_factory=Database)
    pooler: Pooler | None = None
    changes: tuple[Deploy | Scale, ...] = ()

    def __post_init__(self) -> None:
        positive(duration=self.duration)
        at_least_zero(warm_up=self.warm_up)
        if not self.endpoints:
            raise BadNumber("endpoints are empty: there is nothing that a request could hold a connection for")
        if self.warm_up >= self.duration:
            raise BadNumber(f"warm_up is {self.warm_up!r}: it has to be shorter than the duration, {self.duration!r}")

    @property
    def most_connections(self) -> int | None:
        """How many connections processes may have; None for any number, as those to a pooler."""
        return self.database.max_connections if self.pooler is None else None

    @property
    def mean_hold(self) -> float:
        """The mean hold over all endpoints (seconds)."""
        whole = math.fsum(endpoint.share for endpoint in self.endpoints)
        return math.fsum(endpoint.share * endpoint.holds.mean for endpoint in self.endpoints) / whole


def _check_limits(limits: Limits) -> None:
    count(pool_size=limits.pool_size, connects_at_once=limits.connects_at_once)
    count(0, max_overflow=limits.max_overflow, min_idle=limits.min_idle)
    if limits.min_idle > limits.pool_size:
        raise BadNumber(f"min_idle is {limits.min_idle}, more than pool_size {limits.pool_size} can keep")
