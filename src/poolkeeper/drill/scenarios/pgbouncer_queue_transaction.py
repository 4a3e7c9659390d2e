"""The pooler has fewer connections than the pool behind it wants, and lends them for a transaction each."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.pooled import GIVES_UP, RATE, SCARCE, SERVERS, WAVE, wave_and_stream
from poolkeeper.drill.pooler import missing
from poolkeeper.drill.props import pooler_in
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, none_failed, none_refused, nothing_left, served


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    # The wave takes three turns of 0.1 s on eight server connections, far less than PgBouncer lets anybody wait.
    yield none_refused(figures)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="pgbouncer-queue-transaction",
    question=f"PgBouncer lends {SERVERS} server connections to a pool of 20. Does anybody wait in vain?",
    steady=f"{WAVE} requests at once, then {RATE:g} of 100 ms per second; transaction mode, "
    f"query_wait_timeout {GIVES_UP:g} s",
    predicted="A server connection is free again after each transaction, so the wave is served in three turns and "
    "nobody fails: here every pool is as good, once it is told to prepare no statements that outlive a transaction.",
    breaks=frozenset(),
    load=wave_and_stream(),
    props=pooler_in("transaction", **SCARCE),
    missing=missing,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
    opened=False,
)
