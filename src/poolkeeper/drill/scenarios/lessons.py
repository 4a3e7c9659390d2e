"""What guides teach about pools, one lesson after the other, on the same trouble."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stacks import LESSONS
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_most, none_failed, none_refused, served

# Twelve at once: more than a pool of 5, fewer than one of 15 or 20.
_WAVE, _APART = (1200.0, 0.01), (4.0, 0.25)
_BUSY, _CALM = (_WAVE, _APART) * 3, (1.0, 1.6)
_BUSY_FOR = sum(seconds for _, seconds in _BUSY)
# Seconds into a calm.
_KILL_AT = 0.8
_TIMES = 2
# Connects that the few requests of the calms may need.
_IN_CALMS = 5


def kill_idle_in_each_calm(stage: Stage) -> None:
    for calm in range(_TIMES):
        stage.wait_until(calm * (_BUSY_FOR + _CALM[1]) + _BUSY_FOR + _KILL_AT)
        stage.terminate_backends("state = 'idle'")


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    # Each connection anew after each calm, and once for its age.
    yield at_most("connects", figures.connects, (_TIMES + 1) * figures.slots + _IN_CALMS)
    yield at_most("connections left on the server", figures.backends_left, 0)


SCENARIO = Scenario(
    name="lessons",
    question="Waves of 12 requests, and in each calm the idle connections are ended. What does each lesson cure?",
    steady="three waves within a second, then 1.6 s of calm, three times over",
    predicted="The ping ends the errors, and so does an age below the calm. Overflow opens and closes 7 connections in "
    "each wave until the pool is as large as one. NullPool meets no dead connection, and opens one for each request. "
    "Bounds before the ping, or an age of an hour, cure no error.",
    breaks=frozenset({"naive", *LESSONS} - {"lesson-4-bounds"}),
    load=PhasedLoad(phases=(*_BUSY, _CALM, *_BUSY, _CALM, *_BUSY), mix={"slow": 100}, hold=0.05),
    fault=kill_idle_in_each_calm,
    extra=tuple(LESSONS.values()),
    expect=expect,
    chief=("failed, connects", lambda figures: f"{figures.failed} failed, {figures.connects} connects"),
    intrusive="",
)
