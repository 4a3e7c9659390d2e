"""Code that blocks in an async endpoint."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, named, none_failed, none_refused, nothing_left, served


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield named(figures, "event-loop-blocked")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="blocked-loop",
    question="One route prints a label, 0.4 s without giving the event loop back. Who is made to wait, who is named?",
    steady="40 requests per second, one in 33 of them to that route",
    predicted="Everybody waits, whatever the pool, and it looks like a slow database. No pool can give the time back; "
    "poolkeeper fails nobody over it and names the line that blocks.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((40, 5.0),), mix={"customer": 97, "read": 3}),
    mistake="blocking-call",
    expect=expect,
    chief=("p99", lambda figures: f"{figures.p99_ms:.0f} ms, {', '.join(figures.causes) or 'no cause named'}"),
    intrusive="",
)
