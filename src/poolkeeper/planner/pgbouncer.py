"""How many server connections PgBouncer gives each service, so that all limits add up to what the database has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poolkeeper.planner.numbers import BadNumber, at_least_zero, count, positive

# S. Halfin, W. Whitt, "Heavy-traffic limits for queues with many exponential servers", Operations Research 29 (1981),
# 567-588: with load + 2 sqrt(load) servers, about 3 % of the transactions wait.
STAFFING = 2.0


class PoolerCannotHelp(ValueError):  # noqa: N818 - says what happened, as errors.py does
    """The services keep more server connections busy than the database has; the message says how many."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A service behind PgBouncer.

    `load` and `burst_load` are how many transactions are under way in the mean, at the peak and in a burst (rate times
    hold); `clients` is how many connections its processes open at most, all of them together, in a rolling deploy too.
    `slow_hold` is its p99 hold and `patience` how long its callers wait (seconds). `user` is its role on the server.
    """

    service: str
    load: float
    burst_load: float
    clients: int
    slow_hold: float
    patience: float
    user: str

    def __post_init__(self) -> None:
        at_least_zero(load=self.load, burst_load=self.burst_load)
        positive(slow_hold=self.slow_hold, patience=self.patience)
        count(clients=self.clients)
        if not self.service.isidentifier() and not self.service.replace("-", "_").isidentifier():
            raise BadNumber(f"service {self.service!r} cannot be the name of a database: letters, digits, - and _ only")


@dataclass(frozen=True, slots=True)
class Share:
    """The server connections of one service in one PgBouncer: `reserve` are opened only where clients wait."""

    pool_size: int
    reserve: int

    @property
    def most(self) -> int:
        return self.pool_size + self.reserve


@dataclass(frozen=True, slots=True)
class PoolerPlan:
    """The limits of one of `processes` PgBouncers that share the work; times in seconds.

    All of them together open at most `connections` to the server, which has `budget` for them.
    """

    tenants: tuple[Tenant, ...]
    shares: Mapping[str, Share]
    budget: int
    processes: int

    @property
    def connections(self) -> int:
        return self.processes * self.of_one_process

    @property
    def of_one_process(self) -> int:
        return sum(share.most for share in self.shares.values())

    @property
    def clients(self) -> int:
        """Clients of one process: a load balancer may send it all of them while the others restart."""
        return sum(tenant.clients for tenant in self.tenants)

    @property
    def query_wait(self) -> int:
        """The longest that a transaction may wait for a server connection and still be answered in time, at least 1."""
        return max(1, math.floor(min(tenant.patience - tenant.slow_hold for tenant in self.tenants)))

    @property
    def idle_transaction(self) -> int:
        """How long a transaction may do nothing: far beyond what any healthy one takes."""
        return max(60, math.ceil(10 * max(tenant.slow_hold for tenant in self.tenants)))


def share_out(tenants: Sequence[Tenant], budget: int, processes: int = 1) -> PoolerPlan:
    """Give each service what its load wants (`STAFFING`), and what a burst wants more as a reserve.

    Where the budget does not go that far, reserves shrink first, then pools, each in proportion, down to what is busy
    in the mean. Raises `PoolerCannotHelp` where not even that fits, and `BadNumber`.
    """
    count(budget=budget, processes=processes)
    names = [tenant.service for tenant in tenants]
    if not names or len(set(names)) < len(names):
        raise BadNumber(f"services are {', '.join(names) or 'none'}: each needs a name of its own")
    room = budget // processes
    least = {tenant.service: _least(tenant.load / processes) for tenant in tenants}
    _refuse_beyond(room, least, budget, processes)
    wanted = {one.service: max(least[one.service], _staffed(one, one.load, processes)) for one in tenants}
    pools = _within(room, least, wanted)
    burst = {one.service: max(pools[one.service], _staffed(one, one.burst_load, processes)) for one in tenants}
    most = _within(room, pools, burst)
    shares = {name: Share(pools[name], most[name] - pools[name]) for name in names}
    return PoolerPlan(tuple(tenants), shares, budget, processes)


def staffed(load: float) -> int:
    """Connections for a load with which few wait: load + 2 sqrt(load), at least 1."""
    return max(1, math.ceil(load + STAFFING * math.sqrt(load)))


def _staffed(tenant: Tenant, load: float, processes: int) -> int:
    # A client cannot use more than one.
    return min(staffed(load / processes), tenant.clients)


def _least(load: float) -> int:
    # Of as many as are busy in the mean, a queue never empties.
    return math.floor(load) + 1


def _refuse_beyond(room: int, least: Mapping[str, int], budget: int, processes: int) -> None:
    if (needed := sum(least.values())) > room:
        each = ", ".join(f"{name} {number}" for name, number in least.items())
        by_process = f" ({room} for each of {processes} PgBouncers)" if processes > 1 else ""
        raise PoolerCannotHelp(
            f"PgBouncer does not help: {needed} server connections are needed at least ({each}), and the budget is "
            f"{budget}{by_process}; hold connections for a shorter time, send reads to a replica, or raise "
            "max_connections"
        )


def _within(room: int, least: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, int]:
    """The wanted numbers; where they exceed the room, each is cut in proportion to what it wants beyond its least."""
    beyond = {name: wanted[name] - least[name] for name in wanted}
    free, asked = room - sum(least.values()), sum(beyond.values())
    if asked <= free:
        return dict(wanted)
    exact = {name: beyond[name] * free / asked for name in beyond}
    given = {name: math.floor(part) for name, part in exact.items()}
    # Largest remainders first; names decide between equals, so that the same input gives the same file.
    order = sorted(exact, key=lambda name: (given[name] - exact[name], name))
    for name in order[: free - sum(given.values())]:
        given[name] += 1
    return {name: least[name] + given[name] for name in wanted}
