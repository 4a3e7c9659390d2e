"""Real servers for the suite. `tests/conftest.py` loads this file as a plugin, so every test may use its fixtures."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from poolkeeper.testing import Backend, EmbeddedPostgres

_numbers = itertools.count(1)


def missing(program: str, package: str) -> None:
    """Skip the test because a program is not installed; where nothing may be missing, fail."""
    reason = f"{program} is not installed (Debian package {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL 18 for the whole run. Do not stop, kill or reconfigure it: start an EmbeddedPostgres for that."""
    with EmbeddedPostgres(max_connections=100) as server:
        yield server


@dataclass
class FreshDatabase:
    """A database that only this test uses."""

    server: EmbeddedPostgres
    name: str
    may_leave_backends: bool = False

    def url(self, driver: str = "asyncpg") -> str:
        return self.server.url(driver, database=self.name)

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        return self.server.query(sql, database=self.name)

    def execute(self, sql: str) -> None:
        self.server.execute(sql, database=self.name)

    def activity(self, where: str = "true") -> list[Backend]:
        return self.server.activity(f"datname = '{self.name}' AND ({where})")

    def terminate_backends(self, where: str = "true") -> int:
        return self.server.terminate_backends(f"datname = '{self.name}' AND ({where})")


@pytest.fixture
def fresh_database(postgres: EmbeddedPostgres) -> Iterator[FreshDatabase]:
    """An empty database. Connections that the test leaves open fail it, unless it sets `may_leave_backends`."""
    database = FreshDatabase(postgres, f"test_{os.getpid()}_{next(_numbers)}")
    postgres.execute(f'CREATE DATABASE "{database.name}"')
    try:
        yield database
        left = [] if database.may_leave_backends else backends_left_in(database)
    finally:
        postgres.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
    assert not left, f"the test left connections open: {left}"


def backends_left_in(database: FreshDatabase, looks: int = 50) -> list[Backend]:
    """What is still connected; a client's close reaches the server a moment later, so look again."""
    for _ in range(looks):
        left = database.activity()
        if not left:
            break
    return left
