"""Everything that is checked about settings: one file per check, one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from poolkeeper.model import Finding
from poolkeeper.settings.checks import (
    client_wait,
    driver,
    driver_options,
    environment,
    hosts,
    idle,
    lifetime,
    overlaps,
    ping,
    pool_budget,
    pool_kind,
    pool_size,
    pooler,
    pre_ping,
    provider,
    read_only,
    replicas,
    retries,
    sleep,
    slow_hold,
    threads,
    timeouts,
)
from poolkeeper.settings.checks.case import Case

CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    driver.check,
    driver_options.check,
    provider.check,
    pooler.check,
    replicas.check,
    read_only.check,
    hosts.check,
    pool_kind.check,
    pool_size.check,
    idle.check,
    pool_budget.check,
    client_wait.check,
    timeouts.check,
    lifetime.check,
    pre_ping.check,
    ping.check,
    sleep.check,
    threads.check,
    slow_hold.check,
    retries.check,
    overlaps.check,
    environment.check,
)

_ORDER = {"error": 0, "warning": 1, "info": 2}


def findings_of(case: Case) -> tuple[Finding, ...]:
    """Every finding of every check, errors first."""
    found = [finding for check in CHECKS for finding in check(case)]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))
