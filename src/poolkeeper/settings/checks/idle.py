"""Idle connections: as many as are wanted, and no more than there can be."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if settings.pool != "queue":
        return
    if settings.min_idle > settings.pool_size:
        yield Finding(
            "min-idle-exceeds-pool",
            Severity.ERROR,
            "min_idle",
            f"min_idle is {settings.min_idle}, pool_size {settings.pool_size}",
            "a process keeps no more than pool_size connections",
            f"Lower min_idle to {settings.pool_size} or less, or raise pool_size",
        )
    keeps_all = settings.min_idle == settings.pool_size and settings.max_overflow == 0
    if keeps_all and settings.max_idle is not None and settings.origins["max_idle"].chosen:
        yield Finding(
            "max-idle-without-effect",
            Severity.INFO,
            "max_idle",
            f"{settings.max_idle:g} s, while min_idle keeps all {settings.pool_size} connections open",
            "max_idle closes only idle connections beyond min_idle",
            "Set min_idle below pool_size",
        )
