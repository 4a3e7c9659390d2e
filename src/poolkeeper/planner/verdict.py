"""What is wrong with a plan, or close to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from poolkeeper.model import Finding, Severity
from poolkeeper.planner.budget import Budget, Ledger, deploy_at_maximum
from poolkeeper.planner.figures import QueueFigures
from poolkeeper.planner.quantities import in_words
from poolkeeper.planner.rules import active_bound, active_sessions
from poolkeeper.planner.sizing import Sizing, locking_size
from poolkeeper.planner.spread import slow_hold
from poolkeeper.planner.workload import Service, Workload

# Pools are made for 99 % of the callers.
_NEGLIGIBLE = 0.01


def of_budget(workload: Workload, sizings: Mapping[str, Sizing], budget: Budget) -> Iterator[Finding]:
    """Where connections are too few."""
    yield from (_over(ledger) for ledger in budget.ledgers if not ledger.fits)
    yield from _unshared(workload, budget)
    most = deploy_at_maximum(workload, sizings)
    if budget.server.fits and most > budget.server.limit.value:
        yield Finding(
            "plan-deploy-at-maximum",
            Severity.WARNING,
            "server",
            f"{most} connections in a deploy at the autoscaler's maximum, {budget.server.limit.value} available",
            "a deploy while everything is scaled out would find the server full",
            "Do not deploy at peak, or lower max_pods or surge",
        )


def of_service(service: Service, sizing: Sizing, queues: Sequence[QueueFigures]) -> Iterator[Finding]:
    """Where the queue of a service does not hold, or its pools could lock up."""
    for queue in queues:
        yield from _of_queue(service, sizing, queue)
    yield from _locking(service, sizing)
    patience = service.client_timeout
    if patience is not None and slow_hold(service) >= patience:
        yield Finding(
            "plan-slow-holds",
            Severity.WARNING,
            service.name,
            f"99 % of the holds stay below {in_words(slow_hold(service))}, client_timeout is {in_words(patience)}",
            "one caller in a hundred, and more, leaves while its request still has the connection",
            "Shorten the slow holds, or raise client_timeout",
        )


def of_server(workload: Workload) -> Iterator[Finding]:
    """Where the server has more to do than it has cores for."""
    bound = active_bound(workload.server)
    active = sum(active_sessions(service, workload.server) for service in workload.services)
    if bound is not None and active > bound:
        yield Finding(
            "plan-cores-exceeded",
            Severity.WARNING,
            "server",
            f"{active:.3g} sessions are active on average at peak, and {bound} can be worked for at once",
            "beyond that statements wait for each other: holds become longer than those planned with",
            "Shorten the statements, or take more cores; with round_trip given, waits for the network do not count",
            "HikariCP, About Pool Sizing: cores x 2 + spindles",
        )


def _unshared(workload: Workload, budget: Budget) -> Iterator[Finding]:
    """A pooler that shares connections per session gives each client one for as long as it is connected."""
    pooler = workload.server.pooler
    if pooler is None or budget.pooler is None or pooler.mode != "session":
        return
    for row in budget.pooler.rows:
        opened, served = max(row.counts.values()), pooler.pool_size * pooler.instances
        if opened > served:
            yield Finding(
                "plan-sessions-not-shared",
                Severity.ERROR,
                row.service,
                f"its pools open up to {opened} connections to the pooler, which has {served} for them in session mode",
                "a connection that the pool keeps is one that no other client gets: the rest wait until they time out",
                "Share per transaction, or raise the pooler's pool_size",
                "PgBouncer documentation, pool_mode",
            )


def _over(ledger: Ledger) -> Finding:
    if ledger.title == "server":
        why = "the server refuses connections, or what is kept for people and migrations is gone"
    else:
        why = "the pooler refuses the clients that are too many"
    beyond = [f"{one} {ledger.total(one)} (+{ledger.over(one)})" for one in ledger.situations if ledger.over(one)]
    return Finding(
        "plan-over-budget",
        Severity.ERROR,
        ledger.title,
        f"{ledger.limit.value} connections are available; {', '.join(beyond)}",
        why,
        "See the changes that fit",
    )


def _of_queue(service: Service, sizing: Sizing, queue: QueueFigures) -> Iterator[Finding]:
    where = f"{service.name}, {queue.situation}"
    lost = queue.refusals_per_second + queue.timeouts_per_second
    serious = "burst" not in queue.situation
    if queue.offered >= 1 and serious:
        yield Finding(
            "plan-pool-too-small",
            Severity.ERROR,
            where,
            f"{queue.offered:.0%} of what the connections can carry; {lost:.3g} of {queue.checkouts_per_second:.4g} "
            "callers a second are not served",
            "the queue would grow for as long as it lasts",
            "See the changes that fit, or shorten the holds",
        )
    elif queue.lost > _NEGLIGIBLE:
        yield Finding(
            "plan-callers-refused",
            Severity.WARNING,
            where,
            f"{lost:.3g} of {queue.checkouts_per_second:.4g} callers a second get no connection",
            "the pool answers at its capacity and refuses the rest",
            "Raise pool_size where the server has room, or accept it",
        )
    elif queue.situation == "peak" and queue.wait_p99 > service.hold:
        yield Finding(
            "plan-beyond-knee",
            Severity.WARNING,
            where,
            f"the slowest 1 % wait {in_words(queue.wait_p99)} or more for a hold of {in_words(service.hold)}",
            "beyond the knee a little more load is a lot more waiting",
            f"A pool_size above {sizing.pool_size.value}, or shorter holds",
        )


def _locking(service: Service, sizing: Sizing) -> Iterator[Finding]:
    needed = service.connections_per_request
    if needed == 1:
        return
    if service.concurrency is None:
        yield Finding(
            "plan-nested-checkouts",
            Severity.WARNING,
            service.name,
            f"a request holds {needed} connections at once, and nothing bounds the requests of a process",
            "requests that each hold one and wait for the next lock up a pool of any size",
            "Pass the session down, or bound the requests and give concurrency",
            "HikariCP, About Pool Sizing: pool-locking",
        )
    elif sizing.capacity < (least := locking_size(service.concurrency, needed)).value:
        yield Finding(
            "plan-pool-locks",
            Severity.ERROR,
            service.name,
            f"a pool of {sizing.capacity}; {least.formula}",
            "requests that each hold one and wait for the next can lock each other out",
            "See the changes that fit, or pass the session down",
            least.source,
        )
