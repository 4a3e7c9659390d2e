"""The server ends sessions that idle."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import short_idle_sessions
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, none_failed, none_refused, nothing_left, served

_WAVE = (400.0, 0.05)
# Seconds of next to nothing, longer than the server's patience.
_CALM = (1.0, 1.6)


def idle(stage: Stage) -> None:
    stage.wait(_CALM[1])


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="idle-session-timeout",
    question="idle_session_timeout is 1 s, and load comes in waves. Does a wave meet what the calm has killed?",
    steady="20 requests at once every 1.6 s, one per second between them",
    predicted="Each wave meets dead connections. A ping finds them, and so does a look at the socket; without either "
    "each dead one is a failed request, wave after wave.",
    breaks=frozenset({"naive"}),
    before=idle,
    load=PhasedLoad(phases=(_WAVE, _CALM, _WAVE, _CALM, _WAVE, (10, 0.5)), mix={"read": 60, "transfer": 40}),
    props=short_idle_sessions,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
)
