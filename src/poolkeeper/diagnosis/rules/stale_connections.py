"""Connections die while they are idle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import cut, duration, number
from poolkeeper.model import CloseReason, Confidence, Finding, Severity

_DEAD = (CloseReason.SOCKET, CloseReason.PING)
# One may be an accident, and the pool replaces it.
LEAST = 3


def check(case: Case) -> Iterator[Finding]:
    change = case.overall
    dead = sum(change.closed.get(reason, 0) for reason in _DEAD)
    # Those that the server ended with a word belong to a restart.
    if dead < LEAST or case.trouble is not None or change.closed.get(CloseReason.SQLSTATE, 0):
        return
    recycle = case.now.pool_recycle
    limits: Mapping[str, float | None] = case.facts.timeouts if case.facts else {}
    told = [
        f"{name} = {duration(limits[name])}" for name in ("idle_session_timeout", "wait_timeout") if limits.get(name)
    ]
    yield Finding(
        code="stale-connections",
        severity=Severity.INFO,
        subject=case.name,
        seen=cut(
            f"{number(dead, 'connection')} found dead before use within {duration(change.seconds)}"
            + (f"; the server's {', '.join(told)}" if told else "")
            + (f"; pool_recycle {duration(recycle)}" if recycle else "")
        ),
        why="something ends idle connections: a firewall, a proxy, or the server's own idle limit",
        fix="Set pool_recycle and max_idle below that limit, and keep pool_pre_ping on",
        confidence=Confidence.LIKELY,
        figures={"dead": dead, "seconds": round(change.seconds, 1)},
        unseen=() if told else ("who ended them",),
    )
