"""Fixtures for pytest, for those who ask: `pytest_plugins = ["poolkeeper.testing.fixtures"]` in the top conftest.py.

Nothing is started before a test asks for it. Each can be overridden by a fixture of the same name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from poolkeeper.testing.fresh import FreshDatabase, fresh_database
from poolkeeper.testing.postgres import EmbeddedPostgres
from poolkeeper.testing.proxy import FaultProxy
from poolkeeper.testing.rollback import rolled_back, rolled_back_async


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL for the whole run. Do not stop, kill or reconfigure it: start an EmbeddedPostgres for that."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: EmbeddedPostgres) -> Iterator[FreshDatabase]:
    """An empty database that only this test uses."""
    with fresh_database(postgres_server) as database:
        yield database


@pytest.fixture
def fault_proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    """A network before the server that only this test breaks: `fault_proxy.url(postgres_database.url())`."""
    with FaultProxy(postgres_server.host, postgres_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def create_tables() -> Callable[[Connection], object]:
    """Override it, to have tables where the rolled back sessions are: return `Base.metadata.create_all`."""
    return lambda _connection: None


@pytest.fixture(scope="session")
def rollback_database(
    postgres_server: EmbeddedPostgres, create_tables: Callable[[Connection], object]
) -> Iterator[FreshDatabase]:
    """The database of all rolled back sessions, with the tables of `create_tables`."""
    with fresh_database(postgres_server) as database:
        engine = create_engine(database.url("psycopg"), poolclass=NullPool)
        with engine.begin() as connection:
            create_tables(connection)
        engine.dispose()
        yield database


@pytest.fixture
def rollback_session(rollback_database: FreshDatabase) -> Iterator[Session]:
    """A session that may commit; after the test nothing of it is there."""
    engine = create_engine(rollback_database.url("psycopg"), poolclass=NullPool)
    with rolled_back(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
async def async_rollback_session(rollback_database: FreshDatabase) -> AsyncIterator[AsyncSession]:
    """The same for an `AsyncSession`, in tests that anyio's plugin runs, or pytest-asyncio's in its auto mode."""
    engine = create_async_engine(rollback_database.url("asyncpg"), poolclass=NullPool)
    async with rolled_back_async(engine) as session:
        yield session
    await engine.dispose()
