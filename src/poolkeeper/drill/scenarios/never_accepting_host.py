"""A host takes connections and never says a word."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_most, no_storm, nothing_left, served

# Seconds; and those after which a connect is given up, which is the least that getting well can take.
_FOR = 2.0
_CONNECT_TIMEOUT = 1.0


def take_and_say_nothing(stage: Stage) -> None:
    stage.proxy.accept_and_hang()
    stage.proxy.close_all()
    stage.wait(_FOR)
    stage.proxy.heal()


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_most("callers left without an answer", figures.failed, 0)
    yield at_most("well again after the host answers", figures.healthy_after, _CONNECT_TIMEOUT + 1, "s")
    yield from no_storm(figures)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="never-accepting-host",
    question="All connections end, and the host takes new ones without a word, for 2 s. Who waits for how long?",
    steady="50 reads per second, all connections open",
    predicted="A connect without a limit of its own takes its caller along: asyncpg gives up after 60 s, callers after "
    "3 s. poolkeeper connects apart from them, and tells them in time.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((50, 6.0),), mix={"read": 100}),
    fault_at=1.0,
    fault=take_and_say_nothing,
    settings={"connect_timeout": _CONNECT_TIMEOUT},
    expect=expect,
    chief=("unanswered", lambda figures: f"{figures.failed} unanswered"),
    intrusive="",
)
