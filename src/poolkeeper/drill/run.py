"""A whole drill: scenarios on stacks, one run after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypeVar

from poolkeeper.drill.ground import Ground
from poolkeeper.drill.play import Played, play
from poolkeeper.drill.report import Report, surroundings
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.scenarios import scenarios
from poolkeeper.drill.stacks import STACKS, Stack
from poolkeeper.drill.subject import Reference, Subject

T = TypeVar("T")


class Unknown(ValueError):  # noqa: N818 - says what happened, as errors.py does
    """A name that is none of those there are."""


def chosen_scenarios(
    names: Sequence[str], *, every: bool = False, there: Mapping[str, Scenario] | None = None
) -> list[Scenario]:
    """Those named of those `there` are; without names the quick ones, or all of them. Raises `Unknown`."""
    there = scenarios() if there is None else there
    if names:
        return [_known(name, there, "scenario") for name in dict.fromkeys(names)]
    return [scenario for scenario in there.values() if every or scenario.quick]


def chosen_stacks(names: Sequence[str]) -> list[Stack]:
    """Those named, in their own order; without names all of them. Raises `Unknown`."""
    wanted = {_known(name, STACKS, "stack").name for name in names}
    return [stack for stack in STACKS.values() if not wanted or stack.name in wanted]


def playable(chosen: Iterable[Scenario], *, guest: bool) -> tuple[list[Scenario], dict[str, str]]:
    """Those that can be played here, and why each of the others is left out; a `guest` is on a server of others."""
    left_out: dict[str, str] = {}
    played: list[Scenario] = []
    for scenario in chosen:
        reason = scenario.missing() or (scenario.intrusive if guest else "")
        if reason:
            left_out[scenario.name] = reason
        else:
            played.append(scenario)
    return played, left_out


def those_who_play(scenario: Scenario, subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects, and what the scenario adds to compare with where it is the reference service that is drilled."""
    extra = [Reference(stack) for stack in scenario.extra]
    return [*subjects, *extra] if all(isinstance(subject, Reference) for subject in subjects) else list(subjects)


def drill(
    chosen: Iterable[Scenario],
    subjects: Sequence[Subject],
    ground: Ground,
    *,
    begins: Callable[[Scenario, Subject], object],
    ended: Callable[[Played], object],
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> Report:
    """Play each scenario on each subject; `begins` and `ended` are told of every run. Raises what `play` raises."""
    began = time.monotonic()
    date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    around = surroundings(ground.version)
    played: list[Played] = []
    for scenario in chosen:
        for subject in those_who_play(scenario, subjects):
            begins(scenario, subject)
            played.append(play(scenario, subject, ground))
            ended(played[-1])
    return Report(date, time.monotonic() - began, around, played, left_out)


def _known(name: str, there: Mapping[str, T], what: str) -> T:
    if name not in there:
        raise Unknown(f"there is no {what} {name!r}; there are: {', '.join(there)}")
    return there[name]
