"""Connections are replaced, and kept alive, before something on the path cuts them."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts.tcp import SYSTEM_KEEPALIVE
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case

NEVER = -1


def check(case: Case) -> Iterator[Finding]:
    if case.settings.pool != "queue":
        return
    yield from _recycle(case)
    yield from _keepalive(case)


def _recycle(case: Case) -> Iterator[Finding]:
    settings = case.settings
    recycle, limit = settings.pool_recycle, settings.provider.shortest_life
    age = "never" if recycle == NEVER else f"{recycle} s"
    if recycle == 0:
        yield Finding(
            "recycle-zero",
            Severity.ERROR,
            "pool_recycle",
            "0 s",
            "every checkout would open a new connection",
            "Give an age in seconds, -1 for never, or set pool to null",
        )
    elif limit is not None and (recycle == NEVER or recycle >= limit.value):
        yield Finding(
            "recycle-after-cut",
            Severity.WARNING,
            "pool_recycle",
            f"{age}, while {settings.provider.title} ends a connection after {limit.value:g} s",
            "the pool would keep connections that are already dead",
            f"Leave pool_recycle out, or set it below {limit.value:g} s",
            limit.source,
        )
    elif recycle == NEVER:
        yield Finding(
            "recycle-off",
            Severity.INFO,
            "pool_recycle",
            "never",
            "after a failover or a change of DNS old connections stay where they are, and so does memory on the server",
            "Leave pool_recycle out for 3600 s",
        )


def _keepalive(case: Case) -> Iterator[Finding]:
    settings = case.settings
    cut, keepalive = settings.provider.idle_cut, settings.tcp_keepalive or SYSTEM_KEEPALIVE.value
    seen = f"the system's {keepalive} s" if settings.tcp_keepalive is None else f"{keepalive} s"
    if cut is not None and keepalive >= cut.value:
        yield Finding(
            "keepalive-after-cut",
            Severity.WARNING,
            "tcp_keepalive",
            f"{seen}, while {settings.provider.title} cuts after {cut.value:g} s of silence",
            "the first probe comes when the connection is already gone",
            f"Leave tcp_keepalive out, or set it below {cut.value:g} s",
            cut.source,
        )
