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
            "a connection whose peer is gone without a word is handed out, and its request waits for an answer in vain",
            "Leave pool_pre_ping on: it costs a round trip only after ping_after seconds of silence",
            "SQLAlchemy documentation, dealing with disconnects",
        )
