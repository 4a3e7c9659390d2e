"""A ping comes in time to notice a dead connection, and costs less than a new one."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings, cut = case.settings, case.settings.provider.idle_cut
    if settings.pool != "queue" or not settings.pool_pre_ping:
        return
    if cut is not None and settings.ping_after >= cut.value:
        yield Finding(
            "ping-after-cut",
            Severity.WARNING,
            "ping_after",
            f"{settings.ping_after:g} s, while {settings.provider.title} cuts after {cut.value:g} s of silence",
            "a connection that was cut without a word would be handed out unasked",
            f"Leave ping_after out, or set it well below {cut.value:g} s",
            cut.source,
        )
    if settings.ping_timeout > settings.connect_timeout:
        yield Finding(
            "ping-timeout-too-long",
            Severity.WARNING,
            "ping_timeout",
            f"ping_timeout is {settings.ping_timeout:g} s, connect_timeout {settings.connect_timeout:g} s",
            "a connection that does not answer for that long is replaced in less",
            f"Lower ping_timeout to {settings.connect_timeout:g} s or less",
        )
