"""Many connections are opened at once, after a start or an outage, and slow each other down."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case, is_full
from poolkeeper.diagnosis.words import cut, duration
from poolkeeper.model import CloseReason, Confidence, Finding, Severity

# Measured: a connect takes 7 ms alone and 119 ms with 30 at once.
SLOW_CONNECT = 0.05
LEAST = 5
# Of what the pool may open, or, where it has no limit, of what it has open.
SHARE = 0.5
# A pool that refills has just lost its connections, or never had any.
_LOST = (CloseReason.SQLSTATE, CloseReason.SOCKET, CloseReason.PING, CloseReason.INVALIDATED, CloseReason.DISPOSED)


def check(case: Case) -> Iterator[Finding]:
    change, now = case.lately, case.now
    opened = change.totals.connects + now.connecting
    lost = sum(change.closed.get(reason, 0) for reason in _LOST)
    begins = case.recent[0].open == 0
    if not now.capacity or now.pool_size == 0:
        # It opens one for each use.
        return
    if opened < max(LEAST, SHARE * now.capacity) or not (begins or lost >= LEAST):
        return
    slow = change.timings.connects.quantile(0.95) or 0.0
    # A pool that warms up before anybody asks does what it should.
    warms_up = begins and not case.waits
    if slow < SLOW_CONNECT or warms_up or is_full(now):
        return
    yield Finding(
        code="connection-storm",
        severity=Severity.ERROR if case.waits else Severity.WARNING,
        subject=case.name,
        seen=cut(
            f"{opened} connections opened within {change.seconds:.0f} s"
            f" {'from an empty pool' if begins else f'after {lost} were lost'}; a connect takes up to {duration(slow)}"
        ),
        why="a server greets one client after the other: the more connect at once, the longer each takes",
        fix="Warm up before traffic (min_idle), stagger the start of workers, and connect few at once",
        confidence=Confidence.LIKELY,
        figures={"connects": opened, "lost": lost, "connect_p95_seconds": round(slow, 3)},
        unseen=("how many other processes connect at the same time",),
    )
