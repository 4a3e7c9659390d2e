"""Where scenarios are played: an embedded server that may be broken, and on it a database for each run."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from poolkeeper.drill.books import CREATE_LEDGER
from poolkeeper.testing import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Spot:
    """A database of one run, with the ledger in it, and a folder for the service's log."""

    database: str
    folder: Path


class Ground:
    """Keeps one server for all runs."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    @property
    def version(self) -> str:
        """What the server says of itself, such as "18.4"."""
        return self.server.query("SHOW server_version")[0][0] or ""

    @contextmanager
    def spot(self) -> Generator[Spot]:
        """A new database, dropped at the end with every session that is left, and the server running before and after.

        Raises `EmbeddedPostgresError`.
        """
        name = f"drill_{next(self._numbers)}"
        folder = self.server.folder / name
        folder.mkdir()
        self.server.start()
        self.server.execute(f'CREATE DATABASE "{name}" STRATEGY = FILE_COPY')
        try:
            self.server.execute(CREATE_LEDGER, database=name)
            yield Spot(name, folder)
        finally:
            self.server.start()
            self.server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def embedded_ground() -> Generator[Ground]:
    """A PostgreSQL of our own; nothing of it is left. Raises `EmbeddedPostgresError` where none can run."""
    with EmbeddedPostgres() as server:
        yield Ground(server)
