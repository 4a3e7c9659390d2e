"""Connections die while nobody uses them."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, none_failed, none_refused, nothing_left, served

_IDLE = 0.5


def kill_idle(stage: Stage) -> None:
    stage.wait(_IDLE)
    stage.terminate_backends()


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="stale-after-idle",
    question="The server ends every idle connection. Does a request meet one of them?",
    steady="all connections of the pool open and idle",
    predicted="Without a check at checkout the first request fails. A ping finds the dead ones, and so does a look at "
    "the socket, without a round trip.",
    breaks=frozenset({"naive"}),
    before=kill_idle,
    # Twenty at once, and then a calm stream.
    load=PhasedLoad(phases=((400, 0.05), (50, 1.95)), mix={"read": 60, "transfer": 40}),
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
    quick=True,
    intrusive="",
)
