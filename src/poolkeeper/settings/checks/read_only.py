"""Who refuses the writes of a read session has to be able to."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if settings.enforce_read_only == "server" and settings.url.dialect != "postgresql":
        yield Finding(
            "server-does-not-enforce",
            Severity.ERROR,
            "enforce_read_only",
            f"server, and the database is {settings.url.dialect}",
            "read sessions are READ ONLY transactions on PostgreSQL alone",
            "Leave it out, or connect as a user who may only read",
        )
