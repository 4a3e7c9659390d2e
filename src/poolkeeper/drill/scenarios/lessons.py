"""What guides teach about pools, one lesson after the other, on the same trouble."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stacks import LESSONS
from poolkeeper.drill.verdict import Check, at_most, none_failed, none_refused, served
from poolkeeper.drill.waves import STEADY, WAVE, connects_needed, kill_idle_in_each_calm, load


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield at_most("connects", figures.connects, connects_needed(figures.slots))
    yield at_most("connections left on the server", figures.backends_left, 0)


SCENARIO = Scenario(
    name="lessons",
    question=f"Waves of {WAVE} requests, and in each calm the idle connections are ended. What does each lesson cure?",
    steady=STEADY,
    predicted="The ping ends the errors, and so does an age below the calm. Overflow opens and closes 7 connections in "
    "each wave until the pool is as large as one. NullPool meets no dead connection, and opens one for each request. "
    "Bounds before the ping, or an age of an hour, cure no error.",
    breaks=frozenset({"naive", *LESSONS} - {"lesson-4-bounds"}),
    load=load(),
    fault=kill_idle_in_each_calm,
    extra=tuple(LESSONS.values()),
    expect=expect,
    chief=("failed, connects", lambda figures: f"{figures.failed} failed, {figures.connects} connects"),
    intrusive="",
)
