"""The same empty table behind every driver, and what its server says about the sessions that are open."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import FreshDatabase, FreshMariaDB, left_after_a_moment

from poolkeeper import Database
from poolkeeper.testing import FaultProxy

TABLE = "CREATE TABLE note (id int PRIMARY KEY, body varchar(100))"


@dataclass(frozen=True)
class Kind:
    """One driver, and where its database is."""

    driver: str
    place: str

    def __str__(self) -> str:
        return f"{self.driver}-memory" if self.place == "memory" else self.driver


POSTGRESQL = [Kind("asyncpg", "postgresql"), Kind("psycopg", "postgresql")]
MARIADB = [Kind("aiomysql", "mariadb"), Kind("asyncmy", "mariadb")]
BLOCKING = [Kind("psycopg", "postgresql"), Kind("pymysql", "mariadb")]
AIOSQLITE = [Kind("aiosqlite", "file"), Kind("aiosqlite", "memory")]
PYSQLITE = [Kind("pysqlite", "file"), Kind("pysqlite", "memory")]


def on(*kinds: Kind) -> pytest.MarkDecorator:
    """Run a test on each of these drivers; in the default run on the first of those for the same kind of database."""
    return pytest.mark.parametrize("store", [*_first_by_default(kinds)], ids=str, indirect=True)


def _first_by_default(kinds: Iterable[Kind]) -> Iterator[object]:
    seen: set[str] = set()
    for kind in kinds:
        yield pytest.param(kind, marks=pytest.mark.slow) if kind.place in seen else kind
        seen.add(kind.place)


@dataclass
class Store:
    """A database with the table `note`; `make` opens a `Database` on it, closed by the test."""

    kind: Kind
    url: str
    server: Any

    def make(self, **settings: Any) -> Database:
        return Database(self.url, **{"min_idle": 0, **settings})

    @property
    def is_server(self) -> bool:
        return self.server is not None

    def sleep(self, seconds: float) -> str:
        """A statement that takes a while."""
        if self.kind.place == "mariadb":
            return f"SELECT sleep({seconds})"
        if self.kind.place == "postgresql":
            return f"SELECT pg_sleep({seconds})"
        steps = int(seconds * 5_000_000)
        return f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {steps}) SELECT max(n) FROM c"

    def rows(self) -> int:
        """How many rows are committed, seen past the library. An in-memory database has no such view."""
        if self.is_server:
            return int(self.server.query("SELECT count(*) FROM note")[0][0])
        with contextlib.closing(sqlite3.connect(self.url.partition("///")[2])) as connection:
            return int(connection.execute("SELECT count(*) FROM note").fetchone()[0])

    def connections(self) -> list[Any]:
        """The sessions that the server has for this database."""
        if not self.is_server:
            return []
        return self.server.activity() if isinstance(self.server, FreshDatabase) else self.server.connections()

    def in_transaction(self) -> list[Any]:
        """Those of them that are inside a transaction or still at work."""
        if isinstance(self.server, FreshDatabase):
            return self.server.activity("state <> 'idle'")
        if isinstance(self.server, FreshMariaDB):
            open_transactions = "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx"
            return self.server.connections(f"command <> 'Sleep' OR id IN ({open_transactions})")
        return []

    def assert_conserved(self, database: Database) -> None:
        """Nothing is checked out, and no session of the server is left in a transaction."""
        pool = database.snapshot()
        assert (pool.in_use, pool.waiting) == (0, 0), pool
        # A discarded connection ends on the server a moment later.
        left = left_after_a_moment(self.in_transaction)
        assert not left, f"left in a transaction: {left}"


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    kind: Kind = request.param
    if kind.place in {"file", "memory"}:
        yield Store(kind, _sqlite_url(kind, tmp_path), None)
        return
    server = request.getfixturevalue("fresh_database" if kind.place == "postgresql" else "fresh_mariadb")
    server.execute(TABLE)
    yield Store(kind, server.url(kind.driver), server)


@pytest.fixture
def proxy(store: Store) -> Iterator[FaultProxy]:
    """In front of the store's server; `proxy.url(store.url)` leads through it."""
    with FaultProxy("127.0.0.1", store.server.server.port) as running:
        yield running


def _sqlite_url(kind: Kind, folder: Path) -> str:
    scheme = f"sqlite+{kind.driver}://"
    if kind.place == "memory":
        return scheme
    with contextlib.closing(sqlite3.connect(folder / "notes.db")) as connection:
        connection.execute(TABLE)
    return f"{scheme}/{folder / 'notes.db'}"
