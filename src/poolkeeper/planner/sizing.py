"""How large the pools of one service should be, and how long and how many callers may wait. Seconds, per process."""

from __future__ import annotations

import math
from dataclasses import dataclass

from poolkeeper.facts import PROVIDERS
from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.queueing import least_servers
from poolkeeper.planner.reasoned import Reasoned
from poolkeeper.planner.spread import hold_scv
from poolkeeper.planner.workload import DatabaseServer, Service
from poolkeeper.policy import Admission
from poolkeeper.policy.admission import STANDING_SHARE
from poolkeeper.policy.sizing import LIFE_SHARE, SHORTEST_WAIT, SMALLEST_POOL, wait_within

# SQLAlchemy's guides and this library agree on an hour.
USUAL_RECYCLE = 3600
_MOST = 0.99
_OWN = "safe range of this library"
_PEAK, _BURST, _ZONE_LOST = "peak", "burst", "zone lost"
_AIMS = {
    _PEAK: "the peak stays below the knee",
    _BURST: "nobody is refused in a burst",
    _ZONE_LOST: "nobody is refused while a zone is lost",
}
_ERLANG = "Erlang C, stretched for the spread of holds (Allen, Cunneen)"


@dataclass(frozen=True, slots=True)
class Sizing:
    """The numbers of one service's pools; each process has a pool of its own."""

    pool_size: Reasoned[int]
    max_overflow: Reasoned[int]
    pool_timeout: Reasoned[float]
    max_waiting: Reasoned[int]
    recycle: Reasoned[int]

    @property
    def capacity(self) -> int:
        """The most connections of one process."""
        return self.pool_size.value + self.max_overflow.value


@dataclass(frozen=True, slots=True)
class Load:
    """What one of so many processes has to carry in some situation; `rate` is its checkouts per second."""

    name: str
    rate: float
    processes: int

    def demand(self, hold: float) -> float:
        """Connections in use on average."""
        return self.rate * hold


def loads_of(service: Service) -> tuple[Load, ...]:
    """The situations that pools are made for: the peak, a burst, and the peak on what a lost zone leaves."""
    rate, survivors = service.checkouts, (service.pods - service.pods_of_a_zone) * service.workers
    loads = [
        Load(_PEAK, rate / service.processes, service.processes),
        Load(_BURST, service.burst * rate / service.processes, service.processes),
    ]
    if 0 < survivors < service.processes:
        loads.append(Load(_ZONE_LOST, rate / survivors, survivors))
    return tuple(loads)


def sizing_of(service: Service, server: DatabaseServer) -> Sizing:
    """The numbers that fit this service's load. Whether the server has so many connections is the budget's question."""
    timeout = pool_timeout(service)
    size = _given_size(service) or recommended_size(service, server)
    return Sizing(size, _overflow(service), timeout, _max_waiting(service, size.value, timeout.value), _recycle(server))


def worth_waiting(service: Service) -> float:
    """How long (seconds) a queue may stand before KeeperPool refuses callers: the wait that pools are made for."""
    admission = Admission(pool_timeout(service).value, service.client_timeout, None)
    admission.held(service.hold)
    return admission.patience * (1.0 if service.client_timeout is None else STANDING_SHARE)


def pool_timeout(service: Service) -> Reasoned[float]:
    """The longest wait for a connection, below the time that callers wait for their answer."""
    usual = float(SHORTEST_WAIT)
    if service.client_timeout is None:
        reason = "client_timeout is not known; set it, and nobody waits longer than the caller does"
        return Reasoned(usual, f"{usual:g} s", _OWN, reason)
    left = wait_within(service.client_timeout, service.hold)
    formula = f"min({usual:g} s, {in_words(service.client_timeout)} client_timeout - {in_words(service.hold)} hold)"
    reason = "who waits longer gets the connection after its caller has left"
    return Reasoned(min(usual, left), f"{formula} = {in_words(min(usual, left))}", "one deadline for all", reason)


def recommended_size(service: Service, server: DatabaseServer) -> Reasoned[int]:
    """The smallest pool below its knee at peak, that refuses nobody in a burst or with a zone lost."""
    candidates = [_least(SMALLEST_POOL), *_for_loads(service, server)]
    if service.connections_per_request > 1 and service.concurrency is not None:
        candidates.append(locking_size(service.concurrency, service.connections_per_request))
    size = max(candidates, key=lambda one: one.value)
    if service.concurrency is not None and (most := service.concurrency * service.connections_per_request) < size.value:
        formula = f"{service.concurrency} requests at once x {service.connections_per_request} connections = {most}"
        return Reasoned(most, formula, "as many as can be used", "more connections would never be in use")
    return size


def holding_size(service: Service) -> int:
    """The smallest pool whose queue still holds at peak, and with a zone lost: 99 % come before refusals do."""
    spread, wait = hold_scv(service).value, worth_waiting(service)
    lasting = (load for load in loads_of(service) if load.name != _BURST)
    return max(least_servers(load.rate, service.hold, wait, _MOST, hold_scv=spread) for load in lasting)


def locking_size(threads: int, needed: int) -> Reasoned[int]:
    """The smallest pool in which requests that each need several connections cannot lock each other out."""
    size = threads * (needed - 1) + 1
    return Reasoned(
        size,
        f"{threads} x ({needed} - 1) + 1 = {size}",
        "HikariCP, About Pool Sizing: pool-locking",
        "with one less, every request may hold all but one of its connections and wait for the last",
    )


def _least(size: int) -> Reasoned[int]:
    reason = "the load needs fewer, and a smaller pool lets a short burst queue"
    return Reasoned(size, f"at least {size} in each process", _OWN, reason)


def _for_loads(service: Service, server: DatabaseServer) -> list[Reasoned[int]]:
    found: list[Reasoned[int]] = []
    for load in loads_of(service):
        everywhere = load.demand(service.hold) * load.processes
        if load.name != _PEAK and everywhere >= server.max_connections:
            # No pool helps: the server has not so many connections.
            continue
        at_peak = load.name == _PEAK
        wait = service.hold if at_peak else worth_waiting(service)
        size = least_servers(load.rate, service.hold, wait, _MOST, hold_scv=hold_scv(service).value)
        formula = (
            f"{load.name}: {load.rate:.4g}/s x {in_words(service.hold)} = {load.demand(service.hold):.3g} in use; with "
            f"{size}, 99 % wait at most {in_words(wait)}"
        )
        found.append(Reasoned(size, formula, _ERLANG, f"the smallest pool with which {_AIMS[load.name]}"))
    return found


def _given_size(service: Service) -> Reasoned[int] | None:
    if service.pool_size is None:
        return None
    return Reasoned(service.pool_size, f"{service.pool_size}, as given", "the workload", "planned with what is given")


def _overflow(service: Service) -> Reasoned[int]:
    if service.max_overflow:
        reason = "it opens under load, when connecting is slowest, and counts in the budget like any other"
        return Reasoned(service.max_overflow, f"{service.max_overflow}, as given", "the workload", reason)
    reason = "all connections are counted and warm; overflow opens under load, when connecting is slowest"
    return Reasoned(0, "0", "profile bounded of this library", reason)


def _max_waiting(service: Service, size: int, timeout: float) -> Reasoned[int]:
    admission = Admission(timeout, service.client_timeout, None)
    admission.held(service.hold)
    patience = admission.patience
    value = max(1, math.floor(patience * (size + service.max_overflow) / service.hold))
    formula = f"{in_words(patience)} x {size + service.max_overflow} / {in_words(service.hold)} = {value}"
    reason = "whoever joins behind so many is not served in time, and hears that at once"
    return Reasoned(value, formula, "place x hold / size, the pool's own prediction", reason)


def _recycle(server: DatabaseServer) -> Reasoned[int]:
    limit = None if server.provider is None else PROVIDERS[server.provider].shortest_life
    if limit is None or LIFE_SHARE * limit.value >= USUAL_RECYCLE:
        reason = "after a failover or a change of DNS connections move within the hour"
        return Reasoned(USUAL_RECYCLE, f"{USUAL_RECYCLE} s", "default of this library", reason)
    value = int(LIFE_SHARE * limit.value)
    reason = "replaced before something on the path cuts them"
    return Reasoned(value, f"{LIFE_SHARE:.0%} of {limit.value:g} s = {value} s", limit.source, reason)
