"""Opening a connection takes long, however few are opened."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case, is_full
from poolkeeper.diagnosis.words import cut, duration, number
from poolkeeper.model import Confidence, Finding, Severity

# Measured on loopback: 2 to 9 ms. A round trip across a continent and TLS stay below this.
SLOW = 0.5
# A caller that has waited so long while connections are being opened waits for those.
STALLED = 1.0


def check(case: Case) -> Iterator[Finding]:
    now, change = case.now, case.lately
    mean = change.timings.connects.mean or 0.0
    waits_for_it = now.connecting > 0 and now.waiting > 0 and not is_full(now)
    stalled = waits_for_it and (now.oldest_waiter or 0.0) >= STALLED
    if now.connect_trouble is not None or (mean < SLOW and not stalled):
        return
    told = f"{number(change.totals.connects, 'connect')} took {duration(mean)} on average"
    under_way = f"{now.connecting} being opened, {now.waiting} waiting for {duration(now.oldest_waiter)}"
    yield Finding(
        code="slow-connect",
        severity=Severity.ERROR if waits_for_it or (case.waits and not is_full(now)) else Severity.WARNING,
        subject=case.name,
        seen=cut(told if not stalled else under_way if mean < SLOW else f"{told}; {under_way}"),
        why="name resolution, the network, TLS or the server's greeting is slow; statements may still be quick",
        fix="Time the resolver and a connect by hand; keep connections longer (pool_recycle, min_idle)",
        confidence=Confidence.LIKELY,
        figures={"connect_seconds": round(mean, 3), "connecting": now.connecting, "waiting": now.waiting},
        unseen=("which part is slow: name, TCP, TLS or authentication",),
    )
