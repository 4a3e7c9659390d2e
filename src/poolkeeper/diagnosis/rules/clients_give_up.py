"""Callers leave before the pool's own timeout."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import cut, duration, percent
from poolkeeper.model import Confidence, Finding, Severity

# One closed browser tab is nothing.
LEAST = 5
SHARE = 0.05


def check(case: Case) -> Iterator[Finding]:
    totals = case.lately.totals
    if totals.cancelled < max(LEAST, SHARE * totals.requests) or totals.cancelled <= totals.timed_out:
        return
    timeout = case.now.pool_timeout
    limit = f" before pool_timeout ({duration(timeout)})" if timeout else ""
    share = totals.cancelled / max(1, totals.requests)
    yield Finding(
        code="clients-give-up",
        severity=Severity.WARNING,
        subject=case.name,
        seen=cut(
            f"{totals.cancelled} of {totals.requests} callers ({percent(min(1.0, share))}) left while waiting{limit};"
            f" {totals.timed_out} timed out"
        ),
        why="a proxy or client has a shorter timeout than the pool: nobody reads the answer that the queue works for",
        fix="Set pool_timeout (and client_timeout) below the timeout of the proxy in front",
        confidence=Confidence.LIKELY,
        figures={
            "cancelled": totals.cancelled,
            "timed_out": totals.timed_out,
            "requests": totals.requests,
        }
        | ({"pool_timeout": timeout} if timeout is not None else {}),
        unseen=("the timeouts of proxies and clients",),
    )
