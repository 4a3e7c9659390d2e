"""A thousand callers leave while their statement runs."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, at_least, none_failed, none_refused, nothing_left, served


def left(seen: Observed) -> dict[str, float]:
    return {"callers who left": float(sum(each.kind == "left" for each in seen.outcomes))}


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_least("callers who left", figures.more["callers who left"], 900)
    yield none_failed(figures)
    yield none_refused(figures)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="cancelled-clients",
    question="A thousand callers hang up after 30 ms, in the middle of a statement. Do the others notice?",
    steady="120 requests per second for 10 s; most of them are abandoned",
    predicted="FastAPI lets the handler finish: on every stack the connection comes home, and nobody else fails.",
    breaks=frozenset(),
    load=PhasedLoad(phases=((120, 9.8),), mix={"read": 15, "abandoned": 85}, hold=0.04),
    measure=left,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
    intrusive="",
)
