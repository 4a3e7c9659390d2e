"""A plan played through: what callers meet with its numbers, and with a stock pool of the same size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from poolkeeper.planner import simulate as sim
from poolkeeper.planner.plan import Plan, ServicePlan
from poolkeeper.planner.sizing import Load, loads_of
from poolkeeper.planner.spread import holds_of
from poolkeeper.planner.workload import DatabaseServer, Service
from poolkeeper.policy import Limits

KEEPER, STOCK = "KeeperPool", "stock pool"
OVERLOAD = "overload"
# As a share of what all connections together can do.
_OVERLOADED = 1.5
# What is played: long enough for the rare wait, short enough to be waited for.
_SECONDS = 60.0
_MOST_REQUESTS = 300_000
_FEWEST_SECONDS = 2.0
_WARM_UP_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One service in one situation with one kind of pool. Rates are per second; waits and responses are seconds.

    Those of `lost_clients` gave up before their answer, and the work for them was done all the same.
    """

    service: str
    situation: str
    pool: str
    seconds: float
    checkouts_per_second: float
    served: float
    lost_clients: float
    refused: float
    timed_out: float
    wait_p50: float
    wait_p99: float
    response_p99: float
    connections: int

    def as_dict(self) -> dict[str, object]:
        """The figures as plain values, for JSON."""
        return asdict(self)


def rehearse(plan: Plan, seed: int = 1) -> Iterator[Rehearsed]:
    """Simulate each service with both pools: at peak, in a burst, with a zone lost, and with half as much again as its
    connections can do. The same for the same seed.

    A minute of each is played, or less where that would be more than 300,000 requests. Services do not meet each other
    there: what they share of the server is the budget's question.
    """
    for one in plan.services:
        for load in (*loads_of(one.service), _overload(one)):
            rate = load.rate * load.processes
            for pool, policy in ((KEEPER, _keeper(one)), (STOCK, _stock(one))):
                scenario = _scenario(one.service, plan.workload.server, rate, load.processes, policy)
                found = sim.simulate(scenario, seed)
                yield _figures(one.service.name, load.name, pool, rate, scenario, found)


def _overload(one: ServicePlan) -> Load:
    service = one.service
    return Load(OVERLOAD, _OVERLOADED * one.sizing.capacity / service.hold, service.processes)


def _scenario(
    service: Service, server: DatabaseServer, rate: float, processes: int, policy: sim.KeeperPolicy | sim.StockPolicy
) -> sim.Scenario:
    seconds = max(_FEWEST_SECONDS, min(_SECONDS, _MOST_REQUESTS / rate))
    pooler = server.pooler if service.pooler else None
    if pooler is not None and pooler.mode == "session":
        # A client has its server connection for as long as its own: nothing to wait for.
        pooler = None
    return sim.Scenario(
        arrivals=sim.Poisson(rate),
        endpoints=(sim.Endpoint(holds_of(service)),),
        policy=policy,
        duration=seconds,
        warm_up=seconds * _WARM_UP_SHARE,
        fleet=sim.Fleet(processes),
        clients=sim.Clients(timeout=service.client_timeout),
        pooler=sim.Pooler(pooler.pool_size * pooler.instances) if pooler else None,
    )


def _keeper(one: ServicePlan) -> sim.KeeperPolicy:
    sizing = one.sizing
    size = sizing.pool_size.value
    return sim.KeeperPolicy(
        Limits(size, sizing.max_overflow.value, min_idle=size),
        timeout=sizing.pool_timeout.value,
        client_timeout=one.service.client_timeout,
        max_waiting=sizing.max_waiting.value,
    )


def _stock(one: ServicePlan) -> sim.StockPolicy:
    """With its own timeout of 30 s, as guides leave it."""
    return sim.StockPolicy(one.sizing.pool_size.value, one.sizing.max_overflow.value)


def _figures(
    service: str, situation: str, pool: str, rate: float, scenario: sim.Scenario, found: sim.Simulated
) -> Rehearsed:
    counted = scenario.duration - scenario.warm_up
    counts = found.counts
    return Rehearsed(
        service=service,
        situation=situation,
        pool=pool,
        seconds=counted,
        checkouts_per_second=rate,
        served=counts.served / counted,
        lost_clients=counts.abandoned / counted,
        refused=counts.refused / counted,
        timed_out=(counts.timed_out + counts.failed) / counted,
        wait_p50=found.wait.p50,
        wait_p99=found.wait.p99,
        response_p99=found.response.p99,
        connections=found.most_connections,
    )
