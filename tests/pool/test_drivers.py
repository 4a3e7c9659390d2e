"""The pools on drivers that nobody here knows: what they tell about themselves has to be enough."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.aiomysql import MySQLDialect_aiomysql
from sqlalchemy.dialects.mysql.asyncmy import MySQLDialect_asyncmy
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tests.servers import FreshDatabase, FreshMariaDB

from poolkeeper.drivers.generic import Generic
from poolkeeper.model import CloseReason
from poolkeeper.pool import KeeperPool, guard
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.anyio

_KNOWN = {
    "asyncpg": PGDialect_asyncpg,
    "aiomysql": MySQLDialect_aiomysql,
    "asyncmy": MySQLDialect_asyncmy,
    "psycopg": PGDialect_psycopg,
    "pymysql": MySQLDialect_pymysql,
}


@pytest.fixture(scope="module", autouse=True)
def unknown_dialects() -> Iterator[None]:
    """Dialects under names of nobody's, so that no driver of ours is found for them."""
    module = ModuleType("unknown_dialects")
    for name, dialect in _KNOWN.items():
        setattr(module, name, type(name, (dialect,), {"driver": f"un{name}", "supports_statement_cache": True}))
        registry.register(f"{dialect.name}.un{name}", module.__name__, name)
    sys.modules[module.__name__] = module
    yield
    del sys.modules[module.__name__]


@pytest.fixture
def database(driver: str, request: pytest.FixtureRequest) -> FreshDatabase | FreshMariaDB:
    return request.getfixturevalue("fresh_mariadb" if "my" in driver else "fresh_database")


@pytest.fixture
def proxy(database: Any, driver: str) -> Iterator[FaultProxy]:
    url = make_url(database.url(driver))
    with FaultProxy(url.host or "", url.port or 0) as proxy:
        yield proxy


@pytest.fixture
def url(database: Any, driver: str, proxy: FaultProxy) -> str:
    known = make_url(proxy.url(database.url(driver)))
    return known.set(drivername=f"{known.get_backend_name()}+un{driver}").render_as_string(hide_password=False)


def keeper_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(
        url, poolclass=KeeperPool, pool_size=2, max_overflow=0, pool_timeout=5, ping_after=0.1, ping_timeout=0.2
    )
    assert isinstance(engine.pool, KeeperPool)
    assert isinstance(engine.pool.driver, Generic)
    return engine


async def ask(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT 7"))).scalar_one())


asyncio_drivers = pytest.mark.parametrize("driver", ["asyncpg", "aiomysql", "asyncmy"])
blocking_drivers = pytest.mark.parametrize("driver", ["psycopg", "pymysql"])


@asyncio_drivers
async def test_no_statement_meets_a_dead_connection(url: str, proxy: FaultProxy) -> None:
    engine = keeper_engine(url)
    for _ in range(3):
        assert await ask(engine) == 7
        proxy.reset()
        await asyncio.sleep(0.15)
    assert await ask(engine) == 7
    await engine.dispose()


@asyncio_drivers
async def test_a_silent_peer_costs_the_bounded_ping(url: str, proxy: FaultProxy) -> None:
    engine = keeper_engine(url)
    await ask(engine)
    proxy.drop("existing")
    await asyncio.sleep(0.15)
    async with asyncio.timeout(4):
        assert await ask(engine) == 7
        assert engine.pool.counts().closed == {CloseReason.PING: 1}  # type: ignore[attr-defined]
        await engine.dispose()


@pytest.mark.slow
@asyncio_drivers
async def test_dispose_waits_for_no_goodbye_to_a_silent_peer(url: str, proxy: FaultProxy) -> None:
    engine = keeper_engine(url)
    await ask(engine)
    proxy.drop("existing")
    async with asyncio.timeout(4):
        await engine.dispose()


@blocking_drivers
def test_a_guarded_engine_finds_the_dead_ones(url: str, proxy: FaultProxy) -> None:
    engine = create_engine(url, pool_size=2)
    guard(engine, ping_after=0.1, ping_timeout=0.2)
    for _ in range(3):
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 7")).scalar_one() == 7
        proxy.reset()
        time.sleep(0.15)
    engine.dispose()
