"""A whole drill: scenarios on stacks, one run after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from poolkeeper.drill.ground import Ground
from poolkeeper.drill.play import Played, play
from poolkeeper.drill.report import Report, surroundings
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.scenarios import scenarios
from poolkeeper.drill.stacks import STACKS, Stack

T = TypeVar("T")


class Unknown(ValueError):  # noqa: N818 - says what happened, as errors.py does
    """A name that is none of those there are."""


def chosen_scenarios(names: Sequence[str], *, every: bool = False) -> list[Scenario]:
    """Those named; without names the quick ones, or all of them. Raises `Unknown`."""
    there = scenarios()
    if names:
        return [_known(name, there, "scenario") for name in dict.fromkeys(names)]
    return [scenario for scenario in there.values() if every or scenario.quick]


def chosen_stacks(names: Sequence[str]) -> list[Stack]:
    """Those named, in their own order; without names all of them. Raises `Unknown`."""
    wanted = {_known(name, STACKS, "stack").name for name in names}
    return [stack for stack in STACKS.values() if not wanted or stack.name in wanted]


def drill(
    chosen: Iterable[Scenario],
    stacks: Sequence[Stack],
    ground: Ground,
    *,
    begins: Callable[[Scenario, Stack], object],
    ended: Callable[[Played], object],
) -> Report:
    """Play each scenario on each stack; `begins` and `ended` are told of every run. Raises what `play` raises."""
    began = time.monotonic()
    date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    around = surroundings(ground.version)
    played: list[Played] = []
    for scenario in chosen:
        for stack in stacks:
            begins(scenario, stack)
            played.append(play(scenario, stack, ground))
            ended(played[-1])
    return Report(date, time.monotonic() - began, around, played)


def _known(name: str, there: Mapping[str, T], what: str) -> T:
    if name not in there:
        raise Unknown(f"there is no {what} {name!r}; there are: {', '.join(there)}")
    return there[name]
