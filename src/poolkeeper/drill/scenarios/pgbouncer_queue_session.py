"""The pooler has fewer connections than the pool behind it wants, and gives each away for good."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.pooled import GIVES_UP, RATE, SCARCE, SERVERS, WAVE, wave_and_stream, without_server
from poolkeeper.drill.pooler import missing
from poolkeeper.drill.props import pooler_in
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, at_most, none_failed, nothing_left, served


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    # In session mode no client gives its server connection back while it stays: whoever of the wave has none waits in
    # vain, until PgBouncer gives it up. The stream afterwards fits on those that have one.
    yield at_most("refused requests", figures.refused, without_server(figures))
    yield at_most("well again after the first wave", figures.healthy_after, 1.0, "s")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="pgbouncer-queue-session",
    question=f"PgBouncer has {SERVERS} server connections, the pool wants 20. Who waits in whose queue?",
    steady=f"{WAVE} requests at once, then {RATE:g} of 100 ms per second; session mode, "
    f"query_wait_timeout {GIVES_UP:g} s",
    predicted="PgBouncer lets a client in before it has a server connection for it, so no pool can tell before a "
    "statement has waited for 2 s in its queue. Stock pools of a fixed size then open all connections anew and fail "
    "again; poolkeeper tells those callers when to come back, once. The naive pool does well: it closes what is beyond "
    "5 as soon as it comes home, and with that lets others in.",
    breaks=frozenset({"guide", "tuned"}),
    load=wave_and_stream(),
    props=pooler_in("session", **SCARCE),
    missing=missing,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
    opened=False,
)
