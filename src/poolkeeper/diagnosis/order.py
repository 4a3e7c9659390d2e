"""Every rule, in the order in which causes are decided."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.diagnosis.case import Case, Rule
from poolkeeper.diagnosis.rules import (
    background_task,
    black_hole,
    checkins_behind,
    checkout_wait,
    clients_give_up,
    connect_authentication,
    connect_dns,
    connect_network,
    connect_no_database,
    connect_refused,
    connect_timeout,
    connect_tls,
    connection_storm,
    database_limit,
    deadlocks,
    deploy_overlap,
    early_checkout,
    external_io,
    failover,
    handshake_cost,
    hot_row,
    huge_result,
    leak,
    leak_collected,
    long_hold,
    loop_blocked,
    many_pools,
    many_statements,
    nested_checkout,
    no_replica_healthy,
    overflow_churn,
    pool_full,
    pooler_full,
    pooler_queue,
    pooler_wait_timeout,
    replica_lag,
    role_limit,
    row_lock,
    server_full,
    server_saturated,
    server_starting,
    slow_commit,
    slow_connect,
    slow_cursor,
    slow_query,
    stale_connections,
    stream,
    table_lock,
    thread_starvation,
    true_burst,
    undersized,
)
from poolkeeper.model import Finding, Severity

# Each stage would show the picture of those below it: while nothing can be opened, or the loop stands still, everything
# is late; holders that wait for the server are no leaks.
CAUSES: tuple[Rule, ...] = (
    # Connects fail, or will, for want of a slot that the service itself takes.
    many_pools.check,
    deploy_overlap.check,
    # Connects fail.
    pooler_full.check,
    role_limit.check,
    database_limit.check,
    server_full.check,
    pooler_wait_timeout.check,
    connect_dns.check,
    connect_refused.check,
    connect_timeout.check,
    connect_tls.check,
    connect_authentication.check,
    connect_no_database.check,
    server_starting.check,
    connect_network.check,
    failover.check,
    # The service stands still, or in its own way.
    loop_blocked.check,
    nested_checkout.check,
    thread_starvation.check,
    # Connecting takes the time.
    overflow_churn.check,
    connection_storm.check,
    handshake_cost.check,
    slow_connect.check,
    # The database takes the time.
    row_lock.check,
    table_lock.check,
    hot_row.check,
    deadlocks.check,
    slow_commit.check,
    huge_result.check,
    pooler_queue.check,
    black_hole.check,
    many_statements.check,
    server_saturated.check,
    slow_query.check,
    # Holders take the time.
    leak.check,
    stream.check,
    background_task.check,
    slow_cursor.check,
    early_checkout.check,
    external_io.check,
    long_hold.check,
    leak_collected.check,
    stale_connections.check,
)
# Arithmetic: only where no cause above explains that callers wait. The first that speaks.
REMAINDER: tuple[Rule, ...] = (undersized.check, true_burst.check)
ASIDES: tuple[Rule, ...] = (clients_give_up.check, no_replica_healthy.check, replica_lag.check)
# What anybody can see. It says that something is wrong, not what, so it comes last.
SIGNALS: tuple[Rule, ...] = (checkout_wait.check, pool_full.check, checkins_behind.check)

_GRAVEST_FIRST = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def decide(case: Case) -> tuple[Finding, ...]:
    """Causes, the gravest first and else in their order, then signals."""
    causes = _spoken(CAUSES, case)
    if all(finding.severity is not Severity.ERROR for finding in causes):
        causes += _spoken(REMAINDER, case)[:1]
    causes += _spoken(ASIDES, case)
    return (*_ranked(causes), *_ranked(_spoken(SIGNALS, case)))


def _spoken(rules: Iterable[Rule], case: Case) -> list[Finding]:
    return [finding for rule in rules for finding in rule(case)]


def _ranked(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: _GRAVEST_FIRST[finding.severity])
