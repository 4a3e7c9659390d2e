"""Each timeout leaves room for the one inside it."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.policy.sizing import LONGEST_WAIT, SHORTEST_WAIT
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    yield from _pool_timeout(case)
    yield from _connect_timeout(case)
    yield from _statement_timeout(case)
    yield from _command_timeout(case)


def _pool_timeout(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if not settings.origins["pool_timeout"].chosen or settings.pool == "null":
        return
    if not SHORTEST_WAIT <= settings.pool_timeout <= LONGEST_WAIT:
        yield Finding(
            "pool-timeout-unusual",
            Severity.WARNING,
            "pool_timeout",
            f"{settings.pool_timeout:g} s",
            "shorter fails on a short burst, longer keeps callers waiting who have long given up",
            f"Choose {SHORTEST_WAIT} to {LONGEST_WAIT} s; where callers give up sooner, set client_timeout instead",
            "safe range of this library",
        )


def _connect_timeout(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if settings.pool == "null" or settings.pool == "static" or not settings.origins["connect_timeout"].chosen:
        return
    ping = settings.ping_timeout if settings.pool_pre_ping else 0.0
    if ping + settings.connect_timeout > settings.pool_timeout:
        yield Finding(
            "connect-timeout-too-long",
            Severity.WARNING,
            "connect_timeout",
            f"connect_timeout is {settings.connect_timeout:g} s, ping_timeout {ping:g} s, pool_timeout "
            f"{settings.pool_timeout:g} s",
            "one silent connection and one slow connect use up all of a caller's time, and it times out unserved",
            f"Lower connect_timeout to {max(0.0, settings.pool_timeout - ping):g} s or less",
        )


def _statement_timeout(case: Case) -> Iterator[Finding]:
    if case.settings.url.dialect == "sqlite" and case.settings.statement_timeout is not None:
        yield Finding(
            "statement-timeout-without-effect",
            Severity.WARNING,
            "statement_timeout",
            f"{case.settings.statement_timeout:g} s, with SQLite",
            "SQLite has no server that could end a statement",
            "Leave statement_timeout out, or use command_timeout",
        )


def _command_timeout(case: Case) -> Iterator[Finding]:
    settings = case.settings
    command, statement = settings.command_timeout, settings.statement_timeout
    if command is None:
        if settings.origins["command_timeout"].chosen:
            yield Finding(
                "command-timeout-off",
                Severity.WARNING,
                "command_timeout",
                "none",
                "a statement whose server is gone without a word waits until TCP gives up, 15 minutes and more",
                "Give a number of seconds, or keep tcp_keepalive short",
            )
    elif statement is not None and command <= statement:
        yield Finding(
            "command-timeout-too-short",
            Severity.WARNING,
            "command_timeout",
            f"command_timeout is {command:g} s, statement_timeout {statement:g} s",
            "the client cuts the connection before the server ends the statement: its outcome is not known",
            f"Raise command_timeout above {statement:g} s, or lower statement_timeout",
        )
