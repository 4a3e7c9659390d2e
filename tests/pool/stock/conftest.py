"""Both pools behind the same engine, on every driver."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Pool
from tests.database.stores import TABLE, Kind, Store
from tests.pool.stock.pools import ASYNCPG, POOLS, Maker
from tests.pool.stock.servers import SharedDatabase, shared_mariadb, shared_postgres
from tests.servers import MariaDB

from poolkeeper.pool import KeeperPool
from poolkeeper.testing import EmbeddedPostgres

# That the suite describes the stock pool rightly changes with SQLAlchemy only.
_RUNS = [pytest.param(pool, marks=[] if pool is KeeperPool else [pytest.mark.slow], id=pool.__name__) for pool in POOLS]


@pytest.fixture(params=_RUNS)
def pool_class(request: pytest.FixtureRequest) -> type[Pool]:
    return request.param


# Not for the whole session: tests elsewhere count what is connected to their server.
@pytest.fixture(scope="module")
def postgresql_database(postgres: EmbeddedPostgres) -> Iterator[SharedDatabase]:
    with shared_postgres(postgres) as database:
        yield database


@pytest.fixture(scope="module")
def mariadb_database(mariadb: MariaDB) -> Iterator[SharedDatabase]:
    with shared_mariadb(mariadb) as database:
        yield database


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The empty table `note`, on asyncpg unless the test says `on(...)`. Connections left open fail the test."""
    kind: Kind = getattr(request, "param", ASYNCPG)
    if kind.place == "file":
        with contextlib.closing(sqlite3.connect(tmp_path / "notes.db")) as connection:
            connection.execute(TABLE)
        yield Store(kind, f"sqlite+{kind.driver}:///{tmp_path / 'notes.db'}", None)
        return
    server: SharedDatabase = request.getfixturevalue(f"{kind.place}_database")
    yield Store(kind, server.url(kind.driver), server)
    left = server.wait_for(lambda left: not left)
    server.end(*left)
    server.query("DELETE FROM note")
    assert not left, f"the test left connections open: {left}"


@pytest.fixture
async def make(store: Store, pool_class: type[Pool]) -> AsyncIterator[Maker]:
    """make(pool_size=2, ...): an engine on the pool of this run. All are disposed before the test ends."""
    maker = Maker(store, pool_class)
    yield maker
    await maker.close()
