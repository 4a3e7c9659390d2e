"""Connections that all pools may open at once, situation by situation, against what there is for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.reasoned import Reasoned
from poolkeeper.planner.sizing import Sizing
from poolkeeper.planner.spread import slow_hold
from poolkeeper.planner.workload import PoolerLimits, Service, Workload
from poolkeeper.policy.sizing import connections, kept_free

# The share of requests that somebody cancels where nothing longer than a hold is known to end them.
_CANCELLED = 0.01


class Situation(StrEnum):
    """When connections are counted."""

    MINIMUM = "minimum"
    NOW = "now"
    MAXIMUM = "maximum"
    DEPLOY = "rolling deploy"
    ZONE_LOST = "zone lost"


@dataclass(frozen=True, slots=True)
class Row:
    """The connections of one service in each situation."""

    service: str
    counts: Mapping[Situation, int]


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is counted against one limit: the server's, or that of a pooler's clients."""

    title: str
    limit: Reasoned[int]
    rows: tuple[Row, ...]

    def total(self, situation: Situation) -> int:
        """All services together."""
        return sum(row.counts[situation] for row in self.rows)

    def over(self, situation: Situation) -> int:
        """By how many connections the limit is exceeded; 0 where it is not."""
        return max(0, self.total(situation) - self.limit.value)

    @property
    def situations(self) -> tuple[Situation, ...]:
        return tuple(Situation) if self.rows else ()

    @property
    def worst(self) -> int:
        """The most connections of any situation."""
        return max((self.total(situation) for situation in self.situations), default=0)

    @property
    def fits(self) -> bool:
        return self.worst <= self.limit.value

    def as_dict(self) -> dict[str, object]:
        """The ledger as plain values, for JSON."""
        return {
            "limit": self.limit.as_dict(),
            "services": {row.service: {str(key): count for key, count in row.counts.items()} for row in self.rows},
            "total": {str(situation): self.total(situation) for situation in self.situations},
            "over": {str(situation): self.over(situation) for situation in self.situations},
        }


@dataclass(frozen=True, slots=True)
class Budget:
    """The server's connections, and the clients of the pooler where there is one."""

    server: Ledger
    pooler: Ledger | None

    @property
    def ledgers(self) -> tuple[Ledger, ...]:
        return (self.server,) if self.pooler is None else (self.server, self.pooler)

    @property
    def fits(self) -> bool:
        return all(ledger.fits for ledger in self.ledgers)


def budget_of(workload: Workload, sizings: Mapping[str, Sizing]) -> Budget:
    """What the pools of these sizes take, by service name."""
    pooler = workload.server.pooler
    rows = [Row(one.name, _on_the_server(one, sizings[one.name], pooler)) for one in workload.services]
    server = Ledger("server", available(workload), tuple(rows))
    if pooler is None:
        return Budget(server, None)
    through = [one for one in workload.services if one.pooler]
    clients = tuple(Row(one.name, _opened(one, sizings[one.name].capacity)) for one in through)
    return Budget(server, Ledger("pooler", _let_in(pooler), clients))


def available(workload: Workload) -> Reasoned[int]:
    """What of the server's connections the services may plan with."""
    server, margin = workload.server, margin_of(workload.services)
    usable = server.max_connections - server.reserved
    headroom = kept_free(usable, server.headroom)
    left = usable - headroom - server.other_clients - margin.value
    formula = (
        f"{server.max_connections} max_connections - {server.reserved} reserved - {headroom} headroom "
        f"({server.headroom:.0%}) - {server.other_clients} of others - {margin.value} for cancelled requests = {left}"
    )
    reason = "people, migrations and mistakes need connections too, when they are scarcest"
    return Reasoned(left, formula, "guides leave 20 to 30 %", reason)


def margin_of(services: Iterable[Service]) -> Reasoned[int]:
    """Sessions whose request was cancelled, and that the server ends only with their statement."""
    lingering = [(one, one.checkouts * one.burst * _cancelled(one) * slow_hold(one)) for one in services]
    value = sum(math.ceil(sessions) for _, sessions in lingering)
    formula = " + ".join(
        f"{one.name}: {one.checkouts * one.burst:.4g}/s in a burst x {_cancelled(one):.2g} x {in_words(slow_hold(one))}"
        for one, _ in lingering
    )
    reason = "their places in the pool are taken again at once"
    return Reasoned(value, f"{formula}, rounded up = {value}", "measured: one session per cancelled request", reason)


def pods_in(situation: Situation, service: Service) -> int:
    """Pods whose connections the server counts."""
    if situation is Situation.MINIMUM:
        return service.fewest_pods
    if situation is Situation.MAXIMUM:
        return service.most_pods
    if situation is Situation.DEPLOY:
        return pods_in_a_deploy(service, service.pods)
    if situation is Situation.ZONE_LOST:
        # Others are started for the lost ones, whose sessions the server keeps until TCP tells it, hours later.
        return service.pods + service.pods_of_a_zone
    return service.pods


def pods_in_a_deploy(service: Service, running: int) -> int:
    """At its worst moment: those that run, those that start, and those that finish their requests.

    Never more than two generations, old and new, unless one deploy begins before another has ended.
    """
    return min(2 * running, running + service.surge.of(running) + service.pods_leaving(running))


def deploy_at_maximum(workload: Workload, sizings: Mapping[str, Sizing]) -> int:
    """The server's connections when a deploy meets the autoscaler's maximum."""
    return sum(
        _shared(
            one, _of_pods(one, sizings[one.name].capacity, pods_in_a_deploy(one, one.most_pods)), workload.server.pooler
        )
        for one in workload.services
    )


def _opened(service: Service, capacity: int) -> dict[Situation, int]:
    return {one: _of_pods(service, capacity, pods_in(one, service), one) for one in Situation}


def _of_pods(service: Service, capacity: int, pods: int, situation: Situation = Situation.DEPLOY) -> int:
    background = service.background
    if situation in (Situation.DEPLOY, Situation.ZONE_LOST):
        # Background workers are deployed, and lost, as the pods are.
        background = math.ceil(background * pods_in(situation, service) / service.pods)
    return connections(pods * service.workers, capacity) + background


def _on_the_server(service: Service, sizing: Sizing, pooler: PoolerLimits | None) -> dict[Situation, int]:
    opened = _opened(service, sizing.capacity)
    return {situation: _shared(service, count, pooler) for situation, count in opened.items()}


def _shared(service: Service, opened: int, pooler: PoolerLimits | None) -> int:
    """What the server sees of so many connections of the service."""
    if not service.pooler or pooler is None:
        return opened
    return min(opened, pooler.pool_size * pooler.instances)


def _let_in(pooler: PoolerLimits) -> Reasoned[int]:
    value = pooler.max_client_conn * pooler.instances
    formula = f"{pooler.max_client_conn} max_client_conn x {pooler.instances} instances = {value}"
    return Reasoned(value, formula, "PgBouncer documentation, max_client_conn", "the next client is refused")


def _cancelled(service: Service) -> float:
    """The share of requests that are cancelled while they hold a connection."""
    if service.client_timeout is None:
        return _CANCELLED
    # Holds are at least about that skewed: beyond the patience of the callers lies what an exponential tail puts there.
    return max(_CANCELLED, math.exp(-service.client_timeout / service.hold))
