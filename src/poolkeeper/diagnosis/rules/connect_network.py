"""Connects break off, or fail of something that has no name."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.rules.pooler_wait_timeout import is_of_a_pooler
from poolkeeper.model import Confidence, Finding

# What another rule of connects speaks about.
_KNOWN = frozenset(
    {
        "dns",
        "refused",
        "timeout",
        "tls",
        "authentication",
        "too-many-connections",
        "no-such-database",
        "starting-or-stopping",
        "read-only",
    }
)


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble is None or trouble.kind in _KNOWN or is_of_a_pooler(trouble):
        return
    broken = trouble.kind == "network"
    yield trouble.finding(
        "connect-network" if broken else "connect-failed",
        "the way to the server breaks: it restarts, a proxy gives up, or the route is gone"
        if broken
        else "the server cannot be reached as configured; the message says what the driver made of it",
        "Check the server's log of that minute, and proxies and routes between",
        confidence=Confidence.LIKELY if broken else Confidence.POSSIBLE,
    )
