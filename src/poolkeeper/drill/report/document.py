"""One result of a whole drill."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from types import MappingProxyType
from typing import Any

from poolkeeper.drill.play import Played
from poolkeeper.drill.subject import Subject

OURS = "poolkeeper"
_UNCHECKED = "the books were not checked: only the app knows what a success should have left in its database"
_PACKAGES = "poolkeeper", "sqlalchemy", "fastapi", "starlette", "uvicorn", "asyncpg"


@dataclass(frozen=True, slots=True)
class Report:
    """All runs, in the order in which they were played: scenario by scenario, stack by stack.

    `date` is ISO 8601, `seconds` how long everything took, `around` what it ran on; `left_out` are scenarios that could
    not be played, and why.
    """

    date: str
    seconds: float
    around: Mapping[str, str]
    played: Sequence[Played]
    left_out: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def stacks(self) -> list[Subject]:
        """Without those that play one scenario only."""
        return list({run.stack.name: run.stack for run in self.played if not is_extra(run)}.values())

    @property
    def notes(self) -> list[str]:
        """What a reader has to know beside the figures."""
        unchecked = any(run.figures.books is None for run in self.played)
        return [*([_UNCHECKED] if unchecked else []), *(f"left out: {n}: {why}" for n, why in self.left_out.items())]

    @property
    def by_scenario(self) -> list[list[Played]]:
        return [list(runs) for _, runs in groupby(self.played, key=lambda run: run.scenario.name)]

    @property
    def good(self) -> bool:
        """Every scenario's verdict is good."""
        return all(verdict_on(runs) for runs in self.by_scenario)

    @property
    def reasons(self) -> str:
        """What was not as expected, a line for each run; empty where all was."""
        judged = (run for run in self.played if not run.verdict.good)
        return "\n".join(f"{run.scenario.name}, {run.stack.name}: {run.verdict.reason}" for run in judged)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "date": self.date,
            "seconds": round(self.seconds, 1),
            "good": self.good,
            "around": dict(self.around),
            "notes": self.notes,
            "left_out": dict(self.left_out),
            "stacks": {stack.name: stack.summary for stack in self.stacks},
            "scenarios": [_scenario(runs) for runs in self.by_scenario],
        }


def is_extra(run: Played) -> bool:
    """Whether the stack plays this scenario only."""
    return run.stack.name in {stack.name for stack in run.scenario.extra}


def verdict_on(runs: Sequence[Played]) -> bool:
    """Of one scenario: it is about poolkeeper where that has played, and else about every stack that has.

    Those that only one scenario adds are there to compare with.
    """
    judged = [run for run in runs if run.stack.name == OURS] or [run for run in runs if not is_extra(run)]
    return all(run.verdict.good for run in judged)


def as_good(runs: Sequence[Played]) -> list[str]:
    """The stacks of one scenario, beside poolkeeper, that met all that was expected."""
    return [run.stack.name for run in runs if run.verdict.good and run.stack.name != OURS]


def chief_of(run: Played) -> str:
    """The figure that a scenario is about."""
    return run.scenario.chief[1](run.figures)


def surroundings(postgres: str) -> dict[str, str]:
    """The machine, how busy it is, and the versions; `postgres` is what the server says of itself."""
    load = f"load {os.getloadavg()[0]:.1f} before"
    found = {"machine": f"{os.cpu_count()} cores, {load}, {platform.system()} {platform.machine()}"}
    found |= {"PostgreSQL": postgres, "Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _scenario(runs: Sequence[Played]) -> dict[str, Any]:
    scenario = runs[0].scenario
    return {
        "name": scenario.name,
        "question": scenario.question,
        "steady": scenario.steady,
        "predicted": scenario.predicted,
        "good": verdict_on(runs),
        "runs": [_run(run) for run in runs],
    }


def _run(run: Played) -> dict[str, Any]:
    return {
        "stack": run.stack.name,
        "good": run.verdict.good,
        "as_predicted": run.as_predicted,
        "chief": chief_of(run),
        "checks": [asdict(check) for check in run.verdict.checks],
        "settings": run.settings,
        "figures": run.figures.as_dict(),
    }
