"""A drill of one's own app as a test, for those who ask: `pytest_plugins = ["poolkeeper.drill.fixtures"]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from poolkeeper.drill.ground import embedded_ground
from poolkeeper.drill.own_app import ASYNCPG, OwnApp
from poolkeeper.drill.own_app_scenarios import own_app_scenarios
from poolkeeper.drill.report import Report
from poolkeeper.drill.run import chosen_scenarios
from poolkeeper.drill.run import drill as play_all


class Drill(Protocol):
    """What the fixture gives."""

    def __call__(
        self,
        app: str,
        *names: str,
        paths: Sequence[str],
        folder: Path | None = None,
        database_env: str = "DATABASE_URL",
        scheme: str = ASYNCPG,
        prepare: str = "",
    ) -> Report:
        """Play these scenarios (none: all of them) on an app, as `poolkeeper drill --app` does.

        The app is found from `folder`, or else from pytest's root. Raises `Unknown` for a name that is none, and what
        `play` raises.
        """
        ...


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "drill: breaks a real database under an app; takes a minute")


@pytest.fixture
def drill(request: pytest.FixtureRequest) -> Drill:
    """Breaks a PostgreSQL of its own under the app; each call starts one."""

    def play(
        app: str,
        *names: str,
        paths: Sequence[str],
        folder: Path | None = None,
        database_env: str = "DATABASE_URL",
        scheme: str = ASYNCPG,
        prepare: str = "",
    ) -> Report:
        own = OwnApp(app, tuple(paths), folder or request.config.rootpath, database_env, scheme, prepare)
        chosen = chosen_scenarios(names, every=True, there=own_app_scenarios(own.paths))
        with embedded_ground() as ground:
            return play_all(chosen, [own], ground, begins=_unseen, ended=_unseen)

    return play


def _unseen(*_told: object) -> None: ...
