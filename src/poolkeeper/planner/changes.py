"""What to change where a plan does not fit: the smallest changes that help, the one that costs least first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from poolkeeper.planner.budget import Budget, available, budget_of
from poolkeeper.planner.queueing import least_servers
from poolkeeper.planner.sizing import holding_size, locking_size, recommended_size, sizing_of, worth_waiting
from poolkeeper.planner.spread import hold_scv
from poolkeeper.planner.workload import DatabaseServer, PoolerLimits, Service, Workload

_FEWEST_CLIENTS = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """A change that makes everything fit: what it is called, what to do, what it costs, and the workload after it."""

    name: str
    what: str
    cost: str
    workload: Workload

    def as_dict(self) -> dict[str, object]:
        """The change as plain values, for JSON."""
        return {"name": self.name, "what": self.what, "cost": self.cost}


def changes_for(workload: Workload, fits: Callable[[Workload], bool]) -> tuple[Change, ...]:
    """The changes, each of them enough by itself, in the order of preference. `fits` judges what one leads to."""
    large_enough = _with_sizes(workload, _sufficient(workload))
    if large_enough != workload and fits(large_enough):
        return (_larger_pools(workload, large_enough),)
    candidates = (_smaller_pools, _fewer_workers, _a_pooler, _a_larger_server)
    found = (change for make in candidates for change in make(large_enough))
    return tuple(change for change in found if fits(change.workload))


# Pools


def _least(service: Service) -> int:
    """The size below which the pool would refuse callers at peak, or could lock up."""
    size = holding_size(service)
    if service.connections_per_request > 1 and service.concurrency is not None:
        size = max(size, locking_size(service.concurrency, service.connections_per_request).value)
    return size


def _sufficient(workload: Workload) -> dict[str, int]:
    """The sizes of those pools that were given too small."""
    given = {one.name: one for one in workload.services if one.pool_size is not None}
    return {
        name: recommended_size(one, workload.server).value
        for name, one in given.items()
        if sizing_of(one, workload.server).capacity < _least(one)
    }


def _larger_pools(workload: Workload, after: Workload) -> Change:
    pairs = zip(workload.services, after.services, strict=True)
    changed = [f"{new.name} {old.pool_size} -> {new.pool_size}" for old, new in pairs if new != old]
    return Change("larger pools", f"pool_size in each process: {', '.join(changed)}", "none, if they fit", after)


def _smaller_pools(workload: Workload) -> Iterator[Change]:
    """Leave each pool so many connections beyond the fewest that hold, the same number for all: the most that fit."""
    current = {one.name: sizing_of(one, workload.server).capacity for one in workload.services}
    least = {one.name: min(_least(one), current[one.name]) for one in workload.services}

    def sized(spare: int) -> Workload:
        return _with_sizes(workload, {name: min(size, least[name] + spare) for name, size in current.items()})

    spare = _largest(max(current[name] - least[name] for name in current), lambda one: _fits(sized(one)))
    if spare is None:
        return
    changed = [
        f"{name} {size} -> {least[name] + spare}" for name, size in current.items() if least[name] + spare < size
    ]
    if changed:
        what = f"pool_size + max_overflow in each process: {', '.join(changed)}"
        yield Change("smaller pools", what, "longer waits in a burst; at peak the queue still holds", sized(spare))


def _with_sizes(workload: Workload, sizes: dict[str, int]) -> Workload:
    """The workload with these pools, by service; overflow is part of them."""
    services = (
        replace(one, pool_size=sizes[one.name], max_overflow=0) if one.name in sizes else one
        for one in workload.services
    )
    return replace(workload, services=tuple(services))


# Processes


def _fewer_workers(workload: Workload) -> Iterator[Change]:
    """At most so many workers in each pod, the most that fit: with pools as the load asks, or else the smallest."""
    most = max(one.workers for one in workload.services)

    def recommended(service: Service) -> int:
        return recommended_size(service, workload.server).value

    after = _fewest_stopped(workload, most, recommended) or _fewest_stopped(workload, most, _least)
    if after is None:
        return
    changed = [
        f"{new.name} {old.workers} -> {new.workers} with pools of {new.pool_size}"
        for old, new in zip(workload.services, after.services, strict=True)
        if new != old
    ]
    yield Change("fewer workers", f"in each pod: {', '.join(changed)}", "processor time, if the workers need it", after)


def _fewest_stopped(workload: Workload, most: int, size: Callable[[Service], int]) -> Workload | None:
    limited = partial(_with_workers, workload, size)
    workers = _largest(most - 1, lambda count: _fits(limited(count)), least=1)
    return None if workers is None else limited(workers)


def _with_workers(workload: Workload, size: Callable[[Service], int], workers: int) -> Workload:
    return replace(workload, services=tuple(_limited(one, workers, size) for one in workload.services))


def _limited(service: Service, workers: int, size: Callable[[Service], int]) -> Service:
    if service.workers <= workers:
        return service
    fewer = replace(service, workers=workers, pool_size=None, max_overflow=0)
    return replace(fewer, pool_size=size(fewer))


# What stands behind the pools


def _a_pooler(workload: Workload) -> Iterator[Change]:
    """A pooler in transaction mode in front of every service, or wider limits of the one that is there."""
    server = workload.server
    size = max(_behind_a_pooler(one) for one in workload.services)
    services = tuple(replace(one, pooler=True) for one in workload.services)
    instances = 1 if server.pooler is None else server.pooler.instances
    through = replace(workload, services=services, server=replace(server, pooler=PoolerLimits()))
    clients = _budget(through).pooler
    limits = PoolerLimits(
        pool_size=-(-size // instances),
        max_client_conn=_rounded(0 if clients is None else -(-clients.worst // instances)),
        instances=instances,
    )
    after = replace(through, server=replace(server, pooler=limits))
    if after == workload:
        return
    what = (
        f"PgBouncer in transaction mode before {', '.join(one.name for one in services)}: default_pool_size "
        f"{limits.pool_size} for each, max_client_conn {limits.max_client_conn}"
    )
    cost = "one more hop, and nothing outlives a transaction: SET, LISTEN, advisory locks, temporary tables"
    yield Change("pooler", what, cost, after)


def _behind_a_pooler(service: Service) -> int:
    """Server connections with which 99 % of all transactions wait no longer than a hold, nor than is worth waiting."""
    wait = min(service.hold, worth_waiting(service))
    return least_servers(service.checkouts, service.hold, wait, hold_scv=hold_scv(service).value)


def _a_larger_server(workload: Workload) -> Iterator[Change]:
    """As many connections as the worst situation needs, with everything else as it is."""
    server, worst = workload.server, _budget(workload).server.worst
    missing = worst - available(workload).value
    if missing <= 0:
        return
    # A connection more than the quotient, because headroom is rounded up to whole ones.
    most = math.ceil(missing / (1 - server.headroom)) + 1
    spared = _largest(
        most, lambda one: available(_with_connections(workload, server.max_connections + most - one)).value >= worst
    )
    connections = server.max_connections + most - (spared or 0)
    after = _with_connections(workload, connections)
    what = f"max_connections {server.max_connections} -> {connections}"
    yield Change("larger server", what, "memory for each connection, and a restart of the server", after)


def _with_connections(workload: Workload, connections: int) -> Workload:
    server: DatabaseServer = replace(workload.server, max_connections=connections)
    return replace(workload, server=server)


def _budget(workload: Workload) -> Budget:
    return budget_of(workload, {one.name: sizing_of(one, workload.server) for one in workload.services})


def _fits(workload: Workload) -> bool:
    return _budget(workload).fits


def _largest(most: int, fits: Callable[[int], bool], least: int = 0) -> int | None:
    """The largest number up to `most` that fits, where all below one that fits do too; None where not even `least`."""
    if most < least or not fits(least):
        return None
    low, high = least, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _rounded(clients: int) -> int:
    """Room for as many clients, as a number that people write."""
    return max(_FEWEST_CLIENTS, -(-clients // 100) * 100)
