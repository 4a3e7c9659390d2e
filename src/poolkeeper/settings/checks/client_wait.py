"""Nobody waits for a connection longer than the caller waits for the answer."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if settings.client_timeout is None:
        return
    if settings.client_timeout <= settings.expected_hold:
        yield Finding(
            "client-timeout-too-short",
            Severity.ERROR,
            "client_timeout",
            f"client_timeout is {settings.client_timeout:g} s, expected_hold {settings.expected_hold:g} s",
            "no time is left to wait for a connection: every request would fail before it is answered",
            "Raise client_timeout above expected_hold, or correct expected_hold",
        )
        return
    given = case.given.get("pool_timeout")
    if isinstance(given, float) and given > settings.pool_timeout:
        yield Finding(
            "pool-timeout-lowered",
            Severity.INFO,
            "pool_timeout",
            f"{given:g} s given, {settings.pool_timeout:g} s in force",
            "callers give up after client_timeout; who waits longer waits for nobody",
            "Lower pool_timeout, or raise client_timeout",
        )
    if settings.statement_timeout is not None and settings.statement_timeout > settings.client_timeout:
        yield Finding(
            "statement-outlives-caller",
            Severity.INFO,
            "statement_timeout",
            f"statement_timeout is {settings.statement_timeout:g} s, client_timeout {settings.client_timeout:g} s",
            "a slow statement keeps its connection after its caller has given up",
            "Lower statement_timeout to client_timeout where nothing else needs longer statements",
        )
