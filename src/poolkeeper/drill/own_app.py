"""An app of the user's as what is drilled. It is told where its database is and asked for paths; no more is known."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from poolkeeper.drill.ask import ask_at_once
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.service import Service, ServiceFailed
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.subject import GRACE

ASYNCPG = "postgresql+asyncpg"
# More than the usual pools hold.
_AT_ONCE = 30


@dataclass(frozen=True, slots=True)
class OwnApp:
    """`app` ("module:app", found from `folder`) under uvicorn, with the database's URL in the variable `database_env`.

    The URL begins with `scheme`. `prepare` is a command that is run in `folder` before, with the same variable.
    """

    app: str
    paths: tuple[str, ...]
    folder: Path
    database_env: str = "DATABASE_URL"
    scheme: str = ASYNCPG
    prepare: str = ""

    @property
    def name(self) -> str:
        return "app"

    @property
    def summary(self) -> str:
        return f"{self.app}, asked for {', '.join(self.paths)}"

    @property
    def connections(self) -> int:
        return 0

    def settings(self, scenario: Scenario) -> dict[str, str]:  # noqa: ARG002 - the same in all
        return {name: value for name, value in _passed_on().items() if name != self.database_env}

    def service(self, scenario: Scenario, url: str, folder: Path, props: Mapping[str, str]) -> Service:
        """Raises `ServiceFailed` where the preparation fails."""
        wanted = make_url(url).set(drivername=self.scheme).render_as_string(hide_password=False)
        environment = {**self.settings(scenario), **props, self.database_env: wanted}
        if self.prepare:
            _run(self.prepare, self.folder, environment)
        return Service(
            wanted,
            folder,
            environment=environment,
            app=self.app,
            app_dir=self.folder,
            grace=GRACE,
            ready=self.paths[0],
        )

    def open_connections(self, stage: Stage) -> None:
        for path in self.paths:
            ask_at_once(stage.service.address, path, _AT_ONCE)

    def look(self, stage: Stage) -> tuple[None, tuple[str, ...]]:  # noqa: ARG002 - there is nothing to ask
        return None, ()

    def audit(self, stage: Stage, outcomes: Iterable[Outcome]) -> None:
        """What a success should have left behind, only the app knows."""


def _passed_on() -> dict[str, str]:
    """Our settings of a pool, without whatever leads to another database."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper().startswith("DATABASE_") and "://" not in value and "PASSWORD" not in name.upper()
    }


def _run(command: str, folder: Path, environment: Mapping[str, str]) -> None:
    words = shlex.split(command)
    # The interpreter that runs us, which knows what the app needs.
    words = [sys.executable, *words[1:]] if words[0] in {"python", "python3"} else words
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ServiceFailed(f"{command!r} exited with {done.returncode}", done.stdout + done.stderr)
