"""A database that is billed by the hour awake is left to sleep."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings, idle = case.settings, case.settings.provider.suspends_after
    if settings.pool != "queue" or idle is None:
        return
    awake = {
        "keepalive": settings.keepalive is not None and settings.keepalive < idle.value,
        "min_idle": settings.min_idle > 0,
    }
    for name in (name for name, keeps_awake in awake.items() if keeps_awake):
        yield Finding(
            "database-kept-awake",
            Severity.INFO,
            name,
            f"{name} is {getattr(settings, name)}, while {settings.provider.title} suspends after {idle.value:g} s",
            "pings and replacements of idle connections count as use: the database never suspends, and is billed",
            f"Leave {name} out, unless it is to be awake all the time",
            idle.source,
        )
