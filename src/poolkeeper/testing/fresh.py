"""A database of its own for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from poolkeeper.testing.postgres import Backend, EmbeddedPostgres
from poolkeeper.testing.postgres.server import Row

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """A database on a server that others use too; its calls are those of `EmbeddedPostgres`, and reach no further."""

    server: EmbeddedPostgres
    name: str

    def url(self, driver: str = "asyncpg") -> str:
        return self.server.url(driver, database=self.name)

    def query(self, sql: str) -> list[Row]:
        return self.server.query(sql, database=self.name)

    def execute(self, sql: str) -> None:
        self.server.execute(sql, database=self.name)

    def activity(self, where: str = "true") -> list[Backend]:
        return self.server.activity(f"datname = '{self.name}' AND ({where})")

    def terminate_backends(self, where: str = "true") -> int:
        return self.server.terminate_backends(f"datname = '{self.name}' AND ({where})")


@contextmanager
def fresh_database(server: EmbeddedPostgres) -> Generator[FreshDatabase]:
    """An empty database, dropped at the end with every session that is left. Raises `EmbeddedPostgresError`."""
    database = FreshDatabase(server, f"fresh_{os.getpid()}_{next(_numbers)}")
    # A third of the time that the default strategy takes: there is nothing to write to the WAL for safety.
    server.execute(f'CREATE DATABASE "{database.name}" STRATEGY = FILE_COPY')
    try:
        yield database
    finally:
        server.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
