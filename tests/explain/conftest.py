from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager

import pytest
from tests.explain.scenarios import SCENARIOS
from tests.explain.stage import Evidence, Stage, look

from poolkeeper.testing import EmbeddedPostgres


@pytest.fixture(scope="session")
def recorded(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Evidence]:
    """The evidence of a scenario, which is played once for all tests that ask."""
    played: dict[str, Evidence] = {}

    def record(name: str) -> Evidence:
        if name not in played:
            scenario = SCENARIOS[name]
            stage = Stage(postgres, tmp_path_factory.mktemp(name))
            with contextmanager(scenario.play)(stage) as service:
                time.sleep(scenario.after)
                played[name] = look(service)
        return played[name]

    return record
