"""What is planned for: services, how they use a database, and what its server gives. All times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from poolkeeper.facts import Pooler, postgres
from poolkeeper.model import Histogram
from poolkeeper.planner import quantities as q
from poolkeeper.planner.quantities import Quantity, Surge
from poolkeeper.policy.sizing import HEADROOM

# maxSurge of a Kubernetes Deployment that says nothing else (API reference, apps/v1 RollingUpdateDeployment).
_SURGE = Surge(share=0.25)


@dataclass(frozen=True, slots=True)
class Field:
    """A value that a workload is made of: what kind of quantity, what it means, what it is where nobody says."""

    name: str
    quantity: Quantity
    meaning: str
    default: object
    is_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: its load at peak over all of its processes, and where these run.

    `min_pods` and `max_pods` are the bounds of an autoscaler, `pods` what runs at peak now. None as a bound means
    `pods`, None as `leaving` as many as `surge` and at least one, as `concurrency` no limit.
    """

    name: Annotated[str, q.NAME, "How the service is called."]
    rps: Annotated[float, q.RATE, "Requests per second at peak, all processes together."]
    hold: Annotated[float, q.DURATION, "How long one checkout keeps its connection, on average."]
    db_share: Annotated[float, q.SHARE, "Share of the requests that use the database."] = 1.0
    hold_p99: Annotated[float | None, q.DURATION, "Time that 99 % of the checkouts stay below."] = None
    hold_histogram: Annotated[Histogram | None, q.HISTOGRAM, "Measured hold times, instead of the percentile."] = None
    connections_per_request: Annotated[
        int, q.COUNT, "Connections that one request holds at the same time; above 1 where checkouts are nested."
    ] = 1
    round_trips: Annotated[int, q.COUNT, "Round trips to the database within one hold."] = 1
    burst: Annotated[float, q.FACTOR, "A burst brings so many times the load of the peak."] = 2.0
    client_timeout: Annotated[float | None, q.DURATION, "How long callers of the service wait for an answer."] = None
    pods: Annotated[int, q.COUNT, "Pods or hosts that share the load at peak."] = 1
    workers: Annotated[int, q.COUNT, "Processes in each of them; each has a pool of its own."] = 1
    concurrency: Annotated[int | None, q.COUNT, "Requests that a process works on at once, such as threads."] = None
    min_pods: Annotated[int | None, q.COUNT, "Fewest pods that the autoscaler leaves running."] = None
    max_pods: Annotated[int | None, q.COUNT, "Most pods that the autoscaler starts."] = None
    surge: Annotated[Surge, q.SURGE, "Pods that a rolling deploy adds before it stops others."] = _SURGE
    leaving: Annotated[Surge | None, q.SURGE, "Pods on their way out that still hold connections meanwhile."] = None
    zones: Annotated[int, q.COUNT, "Availability zones that the pods are spread over."] = 1
    background: Annotated[int, q.COUNT_OR_ZERO, "Connections of background workers, all together."] = 0
    pool_size: Annotated[int | None, q.COUNT, "Size of each pool, to plan with that; otherwise the plan says one."] = (
        None
    )
    max_overflow: Annotated[int, q.COUNT_OR_ZERO, "Connections that each pool opens beyond its pool_size."] = 0
    pooler: Annotated[bool, q.YES_OR_NO, "Whether it reaches the database through the pooler."] = False

    @property
    def checkouts(self) -> float:
        """Checkouts per second at peak."""
        return self.rps * self.db_share * self.connections_per_request

    @property
    def demand(self) -> float:
        """Connections in use on average at peak: Little's law, checkouts per second times hold."""
        return self.checkouts * self.hold

    @property
    def processes(self) -> int:
        """Processes with a pool of their own, now."""
        return self.pods * self.workers

    @property
    def fewest_pods(self) -> int:
        """What the autoscaler may go down to."""
        return self.pods if self.min_pods is None else self.min_pods

    @property
    def most_pods(self) -> int:
        """What the autoscaler may go up to."""
        return self.pods if self.max_pods is None else self.max_pods

    @property
    def pods_of_a_zone(self) -> int:
        """Pods that the loss of the fullest zone takes; none where there is only one zone, with everything in it."""
        return 0 if self.zones == 1 else -(-self.pods // self.zones)

    def pods_leaving(self, running: int) -> int:
        """Pods that a rolling deploy has told to stop, and that still finish their requests."""
        if self.leaving is not None:
            return min(running, self.leaving.of(running))
        return min(running, max(1, self.surge.of(running)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolerLimits:
    """A pooler in front of the server, in PgBouncer's terms."""

    mode: Annotated[Pooler, q.MODE, "How it shares connections: per transaction, or per session."] = "transaction"
    pool_size: Annotated[int, q.COUNT, "Server connections for each service (default_pool_size)."] = 20
    max_client_conn: Annotated[int, q.COUNT, "Clients that one instance lets in."] = 100
    instances: Annotated[int, q.COUNT, "Poolers side by side; each has these limits for itself."] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseServer:
    """The server that all services share, and what others take of it."""

    max_connections: Annotated[int, q.COUNT, "Connections that the server allows."] = postgres.MAX_CONNECTIONS.value
    reserved: Annotated[int, q.COUNT_OR_ZERO, "Those that it keeps for administrators."] = (
        postgres.SUPERUSER_RESERVED_CONNECTIONS.value
    )
    headroom: Annotated[float, q.HEADROOM, "Share of the rest to leave for people, migrations and mistakes."] = HEADROOM
    other_clients: Annotated[int, q.COUNT_OR_ZERO, "Connections of clients that are not planned here."] = 0
    cores: Annotated[int | None, q.COUNT, "Processor cores of the server."] = None
    spindles: Annotated[int, q.COUNT_OR_ZERO, "Disks that it has to seek on; 0 with flash, or with all in memory."] = 0
    round_trip: Annotated[float, q.DURATION_OR_ZERO, "Time of one round trip to the server."] = 0.0
    provider: Annotated[str | None, q.PROVIDER, "Who runs it; decides how old connections may get."] = None
    pooler: PoolerLimits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """All that a plan is made from."""

    services: tuple[Service, ...]
    server: DatabaseServer = field(default_factory=DatabaseServer)


Part = Service | PoolerLimits | DatabaseServer


def _declared(kind: type[Part]) -> Mapping[str, Field]:
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, Field] = {}
    for item in fields(kind):
        hint: Any = hints[item.name]
        if get_origin(hint) is Annotated:
            _, quantity, meaning = get_args(hint)
            required = item.default is MISSING
            found[item.name] = Field(item.name, quantity, meaning, None if required else item.default, required)
    return found


_FIELDS: Mapping[type[Part], Mapping[str, Field]] = {
    kind: _declared(kind) for kind in (Service, PoolerLimits, DatabaseServer)
}


def fields_of(kind: type[Part]) -> Mapping[str, Field]:
    """The values of one part of a workload, in their order."""
    return _FIELDS[kind]
