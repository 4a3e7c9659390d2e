"""What is wrong with a workload: values that cannot be, and values that contradict each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.workload import DatabaseServer, Field, Part, PoolerLimits, Service, Workload, fields_of
from poolkeeper.policy.sizing import wait_within

# In means. The 99th percentile of no usual distribution (lognormal, Weibull) is further out than 15 to 19 of them,
# and close to that it says little about the variance.
_LONGEST_P99 = 12


def problems_in(workload: Workload) -> tuple[Finding, ...]:
    """Every problem of a workload that was put together in code; a document's are found while it is read."""
    found = [*_of_values(workload.server, "server")]
    if workload.server.pooler is not None:
        found += _of_values(workload.server.pooler, "server.pooler")
    for service in workload.services:
        wrong = list(_of_values(service, f"services.{service.name}"))
        found += wrong or of_service(service)
    if not workload.services:
        found.append(no_services())
    return tuple(found or of_workload(workload))


def of_value(field: Field, place: str, value: object) -> Finding:
    """A value that is not of its kind, or that no such thing can have."""
    return Finding(
        "workload-value-impossible",
        Severity.ERROR,
        place,
        f"{field.name} is {value!r:.60}",
        f"it has to be {field.quantity.needed}",
        f"Correct it; it means: {field.meaning[0].lower()}{field.meaning[1:-1]}",
    )


def no_services() -> Finding:
    """A workload of nothing."""
    return Finding(
        "workload-empty",
        Severity.ERROR,
        "services",
        "no service is given",
        "a plan is made for the services that share a database",
        "Give at least one, with its rps and hold",
    )


def of_service(service: Service) -> Iterator[Finding]:
    """What contradicts itself within one service, each value being possible."""
    where = f"services.{service.name}"
    yield from _hold(service, where)
    yield from _percentile(service, where)
    yield from _histogram(service, where)
    if service.fewest_pods > service.pods:
        seen = f"min_pods is {service.min_pods}, pods {service.pods}"
        yield _contradiction(
            f"{where}.min_pods", seen, "the autoscaler would run more", "Lower min_pods, or raise pods"
        )
    if service.most_pods < service.pods:
        seen = f"max_pods is {service.max_pods}, pods {service.pods}"
        yield _contradiction(
            f"{where}.max_pods", seen, "the autoscaler would not run as many", "Raise max_pods, or lower pods"
        )
    requests = service.demand / service.connections_per_request
    if service.concurrency is not None and requests >= service.concurrency * service.processes:
        busy = requests / service.processes
        yield _contradiction(
            f"{where}.concurrency",
            f"{service.concurrency} requests at once, and {busy:.3g} that hold connections in each process",
            "the process would never catch up with its requests, whatever its pool",
            f"Raise concurrency, or run at least {math.floor(requests / service.concurrency) + 1} processes",
        )


def of_workload(workload: Workload) -> Iterator[Finding]:
    """What contradicts itself between services and server, each of them being possible."""
    yield from _names(workload)
    yield from _round_trips(workload)
    yield from _poolers(workload)
    yield from _capacity(workload)


def _of_values(part: Service | DatabaseServer | PoolerLimits, where: str) -> Iterator[Finding]:
    kind: type[Part] = type(part)
    for name, field in fields_of(kind).items():
        value = getattr(part, name)
        if (value is not None or field.is_required) and not _is_taken(field, value):
            yield of_value(field, f"{where}.{name}", value)


def _is_taken(field: Field, value: object) -> bool:
    try:
        return field.quantity.takes(value)
    except (TypeError, AttributeError):
        return False


def _hold(service: Service, where: str) -> Iterator[Finding]:
    patience = service.client_timeout
    if patience is not None and wait_within(patience, service.hold) <= 0:
        yield _contradiction(
            f"{where}.hold",
            f"hold is {in_words(service.hold)}, client_timeout {in_words(patience)}",
            "every caller would give up before its answer, however large the pool",
            "Shorten the hold, or raise client_timeout above it",
        )


def _percentile(service: Service, where: str) -> Iterator[Finding]:
    if service.hold_p99 is None:
        return
    seen = f"hold_p99 is {in_words(service.hold_p99)}, hold {in_words(service.hold)}"
    if service.hold_histogram is not None:
        yield _contradiction(
            f"{where}.hold_p99", "hold_p99 and hold_histogram are given", "both say the same thing", "Give one of them"
        )
    if service.hold_p99 < service.hold:
        why = "99 % of the holds would be shorter than their mean"
        yield _contradiction(f"{where}.hold_p99", seen, why, "Correct one of them, or give hold_histogram")
    elif service.hold_p99 > _LONGEST_P99 * service.hold:
        why = (
            f"so few holds of more than {_LONGEST_P99} times the mean are work of another kind, which two numbers hide"
        )
        fix = "Give hold_histogram, or plan the slow requests as a service of their own"
        yield _contradiction(f"{where}.hold_p99", seen, why, fix)


def _histogram(service: Service, where: str) -> Iterator[Finding]:
    measured = service.hold_histogram
    if measured is None or not measured.count:
        return
    lows = (0.0, *measured.bounds)
    highs = (*measured.bounds, math.inf if measured.counts[-1] else 0.0)
    low, high = (
        sum(count * bound for count, bound in zip(measured.counts, bounds, strict=True) if count) / measured.count
        for bounds in (lows, highs)
    )
    if not low <= service.hold <= high * (1 + 1e-9):
        yield _contradiction(
            f"{where}.hold",
            f"hold is {in_words(service.hold)}, and hold_histogram has its mean "
            + (f"between {in_words(low)} and {in_words(high)}" if math.isfinite(high) else f"above {in_words(low)}"),
            "they cannot be of the same service",
            "Leave hold out, or correct one of them",
        )


def _names(workload: Workload) -> Iterator[Finding]:
    counted = Counter(service.name for service in workload.services)
    for name in (name for name, count in counted.items() if count > 1):
        yield _contradiction(
            f"services.{name}", f"{counted[name]} services are called {name}", "nobody could tell them apart", "Rename"
        )


def _round_trips(workload: Workload) -> Iterator[Finding]:
    for service in workload.services:
        waiting = service.round_trips * workload.server.round_trip
        if waiting > service.hold:
            yield _contradiction(
                f"services.{service.name}.hold",
                f"hold is {in_words(service.hold)}, and {service.round_trips} round trips of "
                f"{in_words(workload.server.round_trip)} take {in_words(waiting)}",
                "a connection is held at least as long as its round trips take",
                "Correct hold, round_trips or the server's round_trip",
            )


def _poolers(workload: Workload) -> Iterator[Finding]:
    through = [service for service in workload.services if service.pooler]
    if workload.server.pooler is None:
        for service in through:
            yield _contradiction(
                f"services.{service.name}.pooler",
                "it goes through a pooler, and the server has none",
                "what the pooler lets through is not known",
                "Describe it under [server.pooler], or remove pooler",
            )
    elif not through:
        yield _contradiction(
            "server.pooler",
            "there is a pooler, and no service goes through it",
            "it would change nothing",
            "Set pooler = true for the services behind it, or remove [server.pooler]",
        )


def _capacity(workload: Workload) -> Iterator[Finding]:
    server = workload.server
    left = server.max_connections - server.reserved - server.other_clients
    seen = f"{server.max_connections} max_connections - {server.reserved} reserved - {server.other_clients} of others"
    demand = sum(service.demand for service in workload.services)
    if left < 1:
        yield _contradiction(
            "server.max_connections", f"{seen} = {left}", "no connection is left for any service", "Correct them"
        )
    elif demand >= left:
        needed = math.floor(demand) + 1 + server.reserved + server.other_clients
        yield _contradiction(
            "server.max_connections",
            f"{demand:.4g} connections in use on average at peak (rps x hold), and {seen} = {left}",
            "no pool, and no pooler, makes more of them: the queue would grow for as long as the peak lasts",
            f"Shorten the holds to {left / demand:.0%} of what they are or less, or take a server with more than "
            f"{needed} connections",
        )


def _contradiction(subject: str, seen: str, why: str, fix: str) -> Finding:
    return Finding("workload-contradicts-itself", Severity.ERROR, subject, seen, why, fix)
