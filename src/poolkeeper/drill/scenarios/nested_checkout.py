"""Requests that hold one connection and wait for a second."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_most, named, nothing_left, served

# Seconds each way: long enough for every first connection to be taken before the first statement is answered.
_LATENCY = 0.02


def far_away(stage: Stage) -> None:
    stage.proxy.latency = _LATENCY


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_most("callers left without an answer", figures.failed, 0)
    yield named(figures, "nested-checkout")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="nested-checkout",
    question="A route opens a second session inside the first, and 60 callers come at once. Does it get out?",
    steady="none: 60 audits at once, then 30 per second; the server is 20 ms away",
    predicted="Each holds one connection and waits for another that nobody gives back, until pool_timeout ends it. "
    "Short is better than long, and best is to be told.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    before=far_away,
    load=PhasedLoad(phases=((6000, 0.01), (30, 4.0)), mix={"audit": 100}),
    mistake="nested-checkout",
    expect=expect,
    chief=("unanswered", lambda figures: f"{figures.failed} unanswered"),
    intrusive="",
)
