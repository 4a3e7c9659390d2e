"""A database of its own for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from poolkeeper.testing.postgres import Backend, EmbeddedPostgres
from poolkeeper.testing.postgres.server import Row

T = TypeVar("T")

# A client's close reaches the server a moment later. Each look takes about 20 ms.
_LOOKS = 50

_numbers = itertools.count(1)


@dataclass(slots=True)
class FreshDatabase:
    """A database on a server that others use too; its calls are those of `EmbeddedPostgres`, and reach no further."""

    server: EmbeddedPostgres
    name: str
    may_leave_backends: bool = True

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
def fresh_database(server: EmbeddedPostgres, *, may_leave_backends: bool = True) -> Generator[FreshDatabase]:
    """An empty database, dropped at the end with every session that is left. Raises `EmbeddedPostgresError`.

    Raises AssertionError where a block that ended well has left connections open, unless it may: so a test finds a
    pool that was not disposed. `may_leave_backends` can be set on the database too, until the end of the block.
    """
    database = FreshDatabase(server, f"fresh_{os.getpid()}_{next(_numbers)}", may_leave_backends)
    # A third of the time that the default strategy takes: there is nothing to write to the WAL for safety.
    server.execute(f'CREATE DATABASE "{database.name}" STRATEGY = FILE_COPY')
    try:
        yield database
        left = [] if database.may_leave_backends else left_after_a_moment(database.activity)
    finally:
        server.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
    if left:
        raise AssertionError(f"connections were left open: {left}")


def left_after_a_moment(look: Callable[[], list[T]], looks: int = _LOOKS) -> list[T]:
    """What is still connected after so many looks, or fewer where nothing is."""
    left = look()
    while left and (looks := looks - 1) > 0:
        left = look()
    return left
