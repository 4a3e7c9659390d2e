"""All processes together leave the server some connections."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts import mysql, postgres
from poolkeeper.facts.provider import MYSQL
from poolkeeper.model import Finding, Severity
from poolkeeper.policy.sizing import HEADROOM, connections, connections_for_each, kept_free
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    counted = settings.max_connections or settings.workers or settings.instances
    if settings.pool == "static" or not counted:
        return
    limit, source = _limit(case)
    if limit is None:
        return
    workers, instances = settings.workers or 1, settings.instances or 1
    needed = connections(workers * instances, settings.capacity)
    usable = limit - settings.reserved_connections
    seen = (
        f"{workers} workers x {instances} instances x {settings.capacity} connections = {needed}; "
        f"{limit} max_connections - {settings.reserved_connections} reserved = {usable}"
    )
    available = usable - kept_free(usable)
    each = connections_for_each(available, workers * instances)
    fix = (
        f"Keep pool_size + max_overflow to {each} per process"
        if each
        else "Put a pooler in front, or run fewer processes"
    )
    if needed > usable:
        # Where nobody told the limit, the server may well have another one.
        severity = Severity.ERROR if settings.max_connections else Severity.WARNING
        why = "the server refuses connections when all pools are full, and then nobody else gets in either"
        yield Finding("pool-budget-exceeded", severity, "pool_size", seen, why, fix, source)
    elif needed > available:
        why = f"less than {HEADROOM:.0%} is left for deployments (two generations at once), migrations, and people"
        yield Finding("pool-budget-tight", Severity.WARNING, "pool_size", seen, why, fix, source)


def _limit(case: Case) -> tuple[int | None, str]:
    settings = case.settings
    if settings.max_connections is not None:
        return settings.max_connections, ""
    if settings.provider.connection_cap is not None:
        return int(settings.provider.connection_cap.value), settings.provider.connection_cap.source
    if settings.url.dialect in MYSQL:
        return mysql.MAX_CONNECTIONS.value, mysql.MAX_CONNECTIONS.source
    if settings.url.dialect == "postgresql" and settings.pooler == "none":
        return postgres.MAX_CONNECTIONS.value, postgres.MAX_CONNECTIONS.source
    return None, ""
