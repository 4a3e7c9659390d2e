"""What a pooler between service and server does not allow is not asked of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from poolkeeper.facts.provider import MYSQL
from poolkeeper.facts.providers import PGBOUNCER_ACCEPTS, PGBOUNCER_PARAMETERS
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case
from poolkeeper.settings.masking import is_mapping

_STATEMENT_CACHES = ("statement_cache_size", "prepared_statement_cache_size", "prepare_threshold")


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if settings.pooler == "none":
        return
    if not settings.provider.pooler_sure:
        yield _mode_unknown(case)
    if "statement_timeout" in case.given and settings.statement_timeout is not None:
        yield _refused(case, "statement_timeout", "statement_timeout")
    yield from _prepared_statements(case)
    for where, name in _startup_parameters(case):
        if name.lower() not in PGBOUNCER_ACCEPTS.value:
            yield _refused(case, where, name)


def _prepared_statements(case: Case) -> Iterator[Finding]:
    for name in _STATEMENT_CACHES:
        if case.settings.pooler == "transaction" and case.settings.connect_args.get(name):
            yield Finding(
                code="pooler-breaks-prepared-statements",
                severity=Severity.WARNING,
                subject=f"connect_args.{name}",
                seen=f"{name} is on, through {case.settings.provider.title}",
                why="the next transaction may reach another server connection, which has no such statement",
                fix=f"Remove {name}; keep it only for PgBouncer 1.21 or later with max_prepared_statements above 0",
                source="measured with PgBouncer 1.18: 115 of 360 transactions passed; PgBouncer 1.21 release notes",
            )


def _startup_parameters(case: Case) -> Iterator[tuple[str, str]]:
    """What the URL or connect_args would send in the startup message, beside user and database."""
    server_settings = case.settings.connect_args.get("server_settings")
    if is_mapping(server_settings):
        yield from (("connect_args", str(name)) for name in server_settings)
    for where, options in (("connect_args", case.settings.connect_args), ("url", case.settings.url.query)):
        for name in re.findall(r"(?:-c\s*|--)([\w.-]+)\s*=", str(options.get("options", ""))):
            yield where, name.replace("-", "_")


def _mode_unknown(case: Case) -> Finding:
    provider = case.settings.provider
    return Finding(
        code="pooler-mode-unknown",
        severity=Severity.WARNING,
        subject="provider",
        seen=f"the URL looks like {provider.title} ({provider.recognised_by.value})",
        why="the mode does not show in a URL; transaction mode is assumed, which also works with sessions",
        fix="Set provider to pgbouncer-transaction or pgbouncer-session",
        source=provider.recognised_by.source,
    )


def _refused(case: Case, subject: str, name: str) -> Finding:
    mysql = case.settings.url.dialect in MYSQL
    return Finding(
        code="pooler-refuses-parameter",
        severity=Severity.ERROR,
        subject=subject,
        seen=f"{name} would be sent through {case.settings.provider.title}",
        why="a pooler shares its server connections: it refuses such a parameter at connect, or gives up sharing",
        fix="Set it on the server or in the proxy's initialization query"
        if mysql
        else f"Set it on the server: ALTER ROLE ... SET {name} = ..., or SET LOCAL at the begin of a transaction",
        source=PGBOUNCER_PARAMETERS.source,
    )
