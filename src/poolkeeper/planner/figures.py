"""What callers meet at the pools of a service: how full these are, who waits how long, who is not served."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from poolkeeper.planner.losses import LONGEST_QUEUE, Losses, losses, standing_queue
from poolkeeper.planner.queueing import Knee, knee
from poolkeeper.planner.sizing import Load, Sizing, loads_of
from poolkeeper.planner.spread import hold_scv
from poolkeeper.planner.workload import PoolerLimits, Service


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """The queue of each process in one situation. Waits are seconds, of those who get a connection.

    `offered` is the demand as a share of the pool; from 1 on callers have to be refused. Refusals and timeouts are per
    second and of all processes together.
    """

    situation: str
    checkouts_per_second: float
    offered: float
    utilisation: float
    waiting_probability: float
    wait_mean: float
    wait_p50: float
    wait_p95: float
    wait_p99: float
    refusals_per_second: float
    timeouts_per_second: float

    @property
    def lost(self) -> float:
        """The share of callers who get no connection."""
        return (self.refusals_per_second + self.timeouts_per_second) / self.checkouts_per_second

    def as_dict(self) -> dict[str, object]:
        """The figures as plain values, for JSON."""
        return asdict(self)


def queues_of(service: Service, sizing: Sizing) -> tuple[QueueFigures, ...]:
    """At peak, in a burst, and with a zone lost where there is more than one."""
    return tuple(queue_of(service, sizing, load) for load in loads_of(service))


def knee_of(service: Service, sizing: Sizing) -> Knee:
    """The checkouts per second of the whole service up to which 99 % wait no longer than a hold."""
    found = knee(service.hold, sizing.capacity, hold_scv=hold_scv(service).value)
    return Knee(found.rate * service.processes, found.utilisation)


def pooler_queues_of(service: Service, sizing: Sizing, pooler: PoolerLimits) -> tuple[QueueFigures, ...]:
    """The queue before the server connections that a pooler in transaction mode has for this service."""
    servers = pooler.pool_size * pooler.instances
    found: list[QueueFigures] = []
    for load in loads_of(service)[:2]:
        rate = load.rate * load.processes
        lost = losses(rate, service.hold, servers, timeout=sizing.pool_timeout.value, hold_scv=hold_scv(service).value)
        found.append(_figures(f"{load.name}, in the pooler", rate, lost, 1))
    return tuple(found)


def assumption_of(service: Service) -> str:
    """What the figures take for granted."""
    spread = hold_scv(service)
    model = "M/M/c, exact" if spread.value == 1 else "M/G/c, Allen and Cunneen's approximation"
    return (
        f"{model}: arrivals come by chance (Poisson) and spread evenly over processes; {spread.formula}; callers are "
        "served in their order, and refused as KeeperPool refuses them"
    )


def queue_of(service: Service, sizing: Sizing, load: Load) -> QueueFigures:
    """With this load on each process."""
    timeout, servers = sizing.pool_timeout.value, sizing.capacity
    places = standing_queue(
        service.hold,
        servers,
        timeout=timeout,
        client_timeout=service.client_timeout,
        max_waiting=sizing.max_waiting.value,
    )
    lost = losses(
        load.rate,
        service.hold,
        servers,
        timeout=timeout,
        # Patience alone bounds what is longer than any queue that forms.
        max_waiting=places if places <= LONGEST_QUEUE else None,
        hold_scv=hold_scv(service).value,
    )
    return _figures(load.name, load.rate * load.processes, lost, load.processes)


def _figures(situation: str, rate: float, lost: Losses, processes: int) -> QueueFigures:
    return QueueFigures(
        situation,
        rate,
        lost.rate * lost.hold / lost.servers,
        lost.utilisation,
        lost.waiting,
        lost.mean_wait,
        lost.quantile(0.5),
        lost.quantile(0.95),
        lost.quantile(0.99),
        lost.refusals_per_second * processes,
        lost.timeouts_per_second * processes,
    )
