"""The network loses idle connections without a word."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, none_failed, none_refused, nothing_left, served

# Longer (seconds) than the 2 s for which poolkeeper trusts a connection that it has heard from.
_IDLE = 2.5


def lose_idle(stage: Stage) -> None:
    stage.wait(_IDLE)
    stage.proxy.drop("existing")


def network_gives_up(stage: Stage) -> None:
    """So that the server hears of it too, which takes a real one until its keepalive."""
    stage.proxy.reset()


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="silent-drop",
    question="A firewall forgets all idle connections: no FIN, no RST. New ones pass. Who waits, and for how long?",
    steady="all connections of the pool open and idle",
    predicted="A ping without a limit waits as long as the statement would, and each caller with it. poolkeeper's "
    "ping has one, 2 s, and the callers live to see the next connection.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    before=lose_idle,
    load=PhasedLoad(phases=((20, 2.0),), mix={"read": 60, "transfer": 40}, timeout=3.0),
    ending=network_gives_up,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
    quick=True,
    intrusive="",
)
