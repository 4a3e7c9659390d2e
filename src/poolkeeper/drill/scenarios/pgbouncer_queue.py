"""The pooler has fewer connections than the pool behind it wants."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.pooler import missing
from poolkeeper.drill.props import session_pooler
from poolkeeper.drill.scarce import LEFT
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, at_most, none_failed, nothing_left, served


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    # Those on whose connections it was found out, once.
    yield at_most("refused requests", figures.refused, figures.slots - LEFT)
    yield at_most("well again after the first wave", figures.healthy_after, 1.0, "s")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="pgbouncer-queue",
    question=f"PgBouncer has {LEFT} server connections, the pool wants 20. Who waits in whose queue?",
    steady="20 requests at once, then 40 of 100 ms per second; session mode, query_wait_timeout 2 s",
    predicted="PgBouncer lets a client in before it has a server connection for it, so no pool can tell before a "
    "statement has waited for 2 s in its queue. Stock pools open and fail again and again; poolkeeper tells those "
    "callers when to come back, once.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((400, 0.05), (40, 3.95)), mix={"slow": 70, "transfer": 30}, hold=0.1),
    props=session_pooler(default_pool_size=LEFT, query_wait_timeout=2),
    missing=missing,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
    opened=False,
)
