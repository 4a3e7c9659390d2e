"""Where scenarios are played: a server, and on it a place for each run."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from poolkeeper.drill.books import create_ledger
from poolkeeper.testing import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Spot:
    """What one run has: a database with the ledger in it, and a folder for the service's log.

    The names of its tables begin with `prefix`. `environment` is what the service is told beside the URL.
    """

    database: str
    folder: Path
    prefix: str = ""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Ground(Protocol):
    """A server for all runs."""

    @property
    def server(self) -> EmbeddedPostgres: ...

    @property
    def version(self) -> str:
        """What the server says of itself, such as "18.4"."""
        ...

    def spot(self) -> AbstractContextManager[Spot]:
        """A place for one run, of which nothing is left at the end."""
        ...


class OwnGround:
    """Keeps one server, which may be broken."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    @property
    def version(self) -> str:
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
            self.server.execute(create_ledger(), database=name)
            yield Spot(name, folder)
        finally:
            self.server.start()
            self.server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def embedded_ground() -> Generator[OwnGround]:
    """A PostgreSQL of our own; nothing of it is left. Raises `EmbeddedPostgresError` where none can run."""
    with EmbeddedPostgres() as server:
        yield OwnGround(server)
