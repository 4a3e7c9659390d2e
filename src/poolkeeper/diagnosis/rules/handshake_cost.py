"""Connections live too shortly to be worth what opening them costs."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import cut, duration, percent
from poolkeeper.model import Confidence, Finding, Severity

# NullPool, or a pool_recycle of seconds: about every checkout connects.
PER_CHECKOUT = 0.5
LEAST = 10
# Of connecting and using together; measured on loopback, TLS and SCRAM alone add 7 ms.
COST_SHARE = 0.3


def check(case: Case) -> Iterator[Finding]:
    change = case.lately
    connects, served = change.totals.connects, change.totals.served
    if connects < LEAST or connects < PER_CHECKOUT * served or case.view.behind_pooler:
        return
    spent = change.timings.connects.total
    share = spent / (spent + change.timings.holds.total) if spent > 0 else 0.0
    keeps_none = case.now.capacity is None or case.now.pool_size == 0
    short_lived = keeps_none or (case.now.pool_recycle or 3600) < 60
    if share < COST_SHARE or not short_lived:
        return
    kept = "the pool keeps none (NullPool)" if keeps_none else "pool_recycle is short"
    yield Finding(
        code="handshake-cost",
        severity=Severity.ERROR if case.waits else Severity.WARNING,
        subject=case.name,
        seen=cut(
            f"{connects} connects for {served} checkouts, {duration(change.timings.connects.mean)} each:"
            f" {percent(share)} of the time with the database is spent connecting; {kept}"
        ),
        why="each connection costs a TCP, a TLS and an authentication handshake, and a new process on the server",
        fix="Keep connections: pool_size and a pool_recycle of minutes; NullPool only with a pooler close by",
        confidence=Confidence.LIKELY,
        figures={"connects": connects, "checkouts": served, "share": round(share, 3)},
        unseen=() if case.facts else ("a pooler in front of the server: no server facts",),
    )
