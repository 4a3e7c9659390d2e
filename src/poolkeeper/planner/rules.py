"""The rules that guides give for pool sizes, on the numbers at hand, and whether the plan agrees with each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from poolkeeper.planner.budget import Budget, Situation
from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.sizing import Sizing, locking_size
from poolkeeper.planner.workload import DatabaseServer, Service, Workload
from poolkeeper.policy.sizing import LARGEST_POOL, SMALLEST_POOL, connections

_HIKARI = "HikariCP, About Pool Sizing"
_GUIDES = "guides on SQLAlchemy pools"
# The guides' reserve.
_LEAST_RESERVE, _MOST_RESERVE = 0.2, 0.3


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it counts, with the numbers filled in, and what the plan makes of it.

    `agrees` is None where the rule bounds something that the plan cannot see.
    """

    name: str
    about: str
    formula: str
    verdict: str
    agrees: bool | None
    source: str

    def as_dict(self) -> dict[str, object]:
        """The rule as plain values, for JSON."""
        return asdict(self)


def rules_for(workload: Workload, sizings: Mapping[str, Sizing], budget: Budget) -> tuple[Rule, ...]:
    """Every rule, for each service and then for the server."""
    found: list[Rule] = []
    for service in workload.services:
        found += _of_service(service, sizings[service.name])
    return (*found, *_of_server(workload, budget))


def active_sessions(service: Service, server: DatabaseServer) -> float:
    """Sessions of the service that the server works for, on average at peak: not those that wait for the network."""
    return service.checkouts * max(0.0, service.hold - service.round_trips * server.round_trip)


def active_bound(server: DatabaseServer) -> int | None:
    """Sessions that the server can work for at once; None where nobody knows its cores."""
    return None if server.cores is None else server.cores * 2 + server.spindles


def _of_service(service: Service, sizing: Sizing) -> Iterator[Rule]:
    yield _little(service, sizing)
    yield _per_pod(service, sizing)
    yield _multiplied(service, sizing)
    if service.connections_per_request > 1:
        yield _locking(service, sizing)


def _little(service: Service, sizing: Sizing) -> Rule:
    total = connections(service.processes, sizing.capacity)
    formula = f"{service.checkouts:.4g}/s x {in_words(service.hold)} = {service.demand:.4g}"
    verdict = (
        f"that many are in use on average; {total} in {service.processes} pools, because a pool that is full on "
        "average makes everybody wait, and processes cannot share theirs"
    )
    return Rule("Little's law", service.name, formula, verdict, service.demand < total, "Little 1961; the guides")


def _per_pod(service: Service, sizing: Sizing) -> Rule:
    size, pod = sizing.capacity, service.workers * sizing.capacity
    formula = f"{SMALLEST_POOL} to {LARGEST_POOL} per pod; here {size} x {service.workers} workers = {pod}"
    in_a_pod, in_a_process = (SMALLEST_POOL <= count <= LARGEST_POOL for count in (pod, size))
    if in_a_pod:
        verdict = "the pod stays in that range"
    elif in_a_process:
        verdict = (
            "read for each process, as this library does, it holds; for the pod it does not: a pool cannot be shared"
        )
    else:
        verdict = f"each process has {size}: what the load asks for, or what was given, is out of that range"
    return Rule("5 to 20 per pod", service.name, formula, verdict, in_a_pod, _GUIDES)


def _multiplied(service: Service, sizing: Sizing) -> Rule:
    size, overflow = sizing.pool_size.value, sizing.max_overflow.value
    total = connections(service.processes, sizing.capacity)
    formula = f"{service.pods} pods x {service.workers} workers x ({size} + {overflow}) = {total}"
    verdict = "the budget counts exactly that, and besides what a deploy and a lost zone add"
    return Rule("workers x (pool + overflow)", service.name, formula, verdict, True, _GUIDES)


def _locking(service: Service, sizing: Sizing) -> Rule:
    name, source = "pool-locking", f"{_HIKARI}: pool-locking"
    needed = service.connections_per_request
    if service.concurrency is None:
        formula = f"threads x ({needed} - 1) + 1"
        verdict = "nothing bounds the requests at once, so no size is safe: bound concurrency, or pass the session down"
        return Rule(name, service.name, formula, verdict, False, source)
    least = locking_size(service.concurrency, needed)
    agrees = sizing.capacity >= least.value
    verdict = f"the pool of {sizing.capacity} cannot lock up" if agrees else f"a pool of {sizing.capacity} can lock up"
    return Rule(name, service.name, least.formula, verdict, agrees, source)


def _of_server(workload: Workload, budget: Budget) -> Iterator[Rule]:
    yield _cores(workload, budget)
    yield _reserve(workload, budget)


def _cores(workload: Workload, budget: Budget) -> Rule:
    server, name = workload.server, "cores x 2 + spindles"
    active = sum(active_sessions(service, server) for service in workload.services)
    bound, opened = active_bound(server), budget.server.total(Situation.NOW)
    if bound is None:
        verdict = f"the server's cores are not known; {active:.3g} sessions are active on average"
        return Rule(name, "server", name, verdict, None, _HIKARI)
    formula = f"{server.cores} x 2 + {server.spindles} = {bound}"
    verdict = f"it bounds sessions that work at once: {active:.3g} on average here"
    if opened > bound:
        verdict += (
            f". Taken for all {opened} connections it disagrees with the rules above: idle ones cost memory, no core; "
            "a pooler is what brings both together"
        )
    return Rule(name, "server", formula, verdict, active <= bound, _HIKARI)


def _reserve(workload: Workload, budget: Budget) -> Rule:
    server, opened = workload.server, budget.server.total(Situation.NOW)
    free = 1 - (opened + server.other_clients + server.reserved) / server.max_connections
    kept = f"{math.floor(100 * _LEAST_RESERVE)} to {math.floor(100 * _MOST_RESERVE)} %"
    formula = (
        f"1 - ({opened} + {server.other_clients} + {server.reserved}) / {server.max_connections} = {free:.0%} free"
    )
    verdict = f"of {kept}; the plan keeps {server.headroom:.0%} free even in a deploy and when a zone is lost"
    return Rule("20 to 30 % reserve", "server", formula, verdict, free >= _LEAST_RESERVE, _GUIDES)
