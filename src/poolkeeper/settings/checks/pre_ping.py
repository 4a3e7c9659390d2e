"""A dead connection is noticed before it is handed out."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    if case.settings.pool == "queue" and not case.settings.pool_pre_ping and case.settings.url.dialect != "sqlite":
        yield Finding(
            "pre-ping-off",
            Severity.WARNING,
            "pool_pre_ping",
            "false",
            "after a restart or failover of the database, each kept connection fails one request",
            "Leave pool_pre_ping on",
            "SQLAlchemy documentation, dealing with disconnects",
        )
