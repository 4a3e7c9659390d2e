"""What is drilled: the reference service on one of the stacks, or an app of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from poolkeeper.drill.ask import as_json, ask_at_once
from poolkeeper.drill.books import audit
from poolkeeper.drill.figures import Books
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.service import Service
from poolkeeper.drill.stacks import Stack
from poolkeeper.drill.stage import Stage

_APP = "poolkeeper.drill.stacks.app:app"
# Seconds. A stopping service may wait so long for its requests before it is killed.
GRACE = 3.0
# How long a connection is busy that is opened on purpose: long enough for all the others to be asked for.
_OPENING = 0.3


class Subject(Protocol):
    """`connections` is the most that its pool may open, 0 where that is not known."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def connections(self) -> int: ...

    def settings(self, scenario: Scenario) -> dict[str, str]:
        """What its service is told beside its URL, as far as a report may show it."""
        ...

    def service(self, scenario: Scenario, url: str, folder: Path, props: Mapping[str, str]) -> Service: ...

    def open_connections(self, stage: Stage) -> None:
        """Have as many connections opened as its pool keeps."""
        ...

    def look(self, stage: Stage) -> tuple[int | None, tuple[str, ...]]:
        """How many connections of the pool are in use, None where it cannot tell, and what it says is wrong."""
        ...

    def audit(self, stage: Stage, outcomes: Iterable[Outcome]) -> Books | None:
        """Whether successes were true; None where nobody can tell."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference service on a stack."""

    stack: Stack

    @property
    def name(self) -> str:
        return self.stack.name

    @property
    def summary(self) -> str:
        return self.stack.summary

    @property
    def connections(self) -> int:
        return self.stack.connections

    def settings(self, scenario: Scenario) -> dict[str, str]:
        mistake = {} if scenario.mistake is None else {"ORDERS_FAULTS": scenario.mistake}
        return {**self.stack.environment(scenario.load.timeout, scenario.settings), **mistake}

    def service(self, scenario: Scenario, url: str, folder: Path, props: Mapping[str, str]) -> Service:
        environment = {**self.settings(scenario), **props}
        return Service(url, folder, workers=scenario.workers, app=_APP, environment=environment, grace=GRACE)

    def open_connections(self, stage: Stage) -> None:
        ask_at_once(stage.service.address, f"/drill/slow?seconds={_OPENING}", self.connections)

    def look(self, stage: Stage) -> tuple[int | None, tuple[str, ...]]:
        """A service that does not answer has none of its connections to give."""
        (pool,) = (as_json(each) for each in ask_at_once(stage.service.address, "/drill/pool", 1))
        (health,) = (as_json(each) for each in ask_at_once(stage.service.address, "/health/db", 1))
        findings: Sequence[dict[str, Any]] = (health or {}).get("findings", ())
        in_use = self.connections if pool is None else int(pool["in_use"])
        return in_use, tuple(str(finding["code"]) for finding in findings)

    def audit(self, stage: Stage, outcomes: Iterable[Outcome]) -> Books:
        return audit(stage, outcomes)
