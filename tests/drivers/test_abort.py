"""Cutting a connection off while the network is silent: whoever waits on it learns at once, and the slot is free."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from tests.drivers.conftest import KINDS, Kind, Open, Opener, on_both_loops

from poolkeeper.drivers import ConnectOptions, driver_for
from poolkeeper.testing import FaultProxy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

asyncio_drivers = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_async], ids=str)


async def abort_while(opened: Open, work: Coroutine[Any, Any, None]) -> DBAPIError:
    """Abort while `work` waits for an answer; what came out of it."""
    waiting = asyncio.create_task(work)
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    opened.abort()
    opened.abort()
    async with asyncio.timeout(5):
        with pytest.raises(DBAPIError) as cut:
            await waiting
    return cut.value


@on_both_loops
async def test_a_query_on_a_silent_connection_ends_as_a_disconnect(
    connect: Opener, server_url: str, proxy: FaultProxy
) -> None:
    opened = await connect(proxy.url(server_url))
    await opened.execute("SELECT 1")
    proxy.drop()
    cut = await abort_while(opened, opened.execute("SELECT 1"))
    assert cut.connection_invalidated
    assert opened.driver.is_closed(opened.driver_connection)
    assert opened.driver.socket_of(opened.driver_connection) is None


@on_both_loops
async def test_a_commit_on_a_silent_connection_ends_as_a_disconnect(
    connect: Opener, server_url: str, proxy: FaultProxy
) -> None:
    opened = await connect(proxy.url(server_url))
    await opened.execute("CREATE TABLE orders (id INT)")
    await opened.commit()
    await opened.execute("INSERT INTO orders VALUES (1)")
    proxy.drop()
    cut = await abort_while(opened, opened.commit())
    assert cut.connection_invalidated


async def test_a_statement_that_is_merely_slow_is_cut_off_too(connect: Opener, kind: Kind, database: Any) -> None:
    database.may_leave_backends = True
    opened = await connect(database.url(kind.name))
    sleep = "SELECT pg_sleep(30)" if kind.is_postgresql else "SELECT sleep(30)"
    cut = await abort_while(opened, opened.execute(sleep))
    assert cut.connection_invalidated


async def test_an_idle_connection_that_was_aborted_fails_as_a_disconnect_when_used(
    connect: Opener, server_url: str
) -> None:
    opened = await connect(server_url)
    await opened.execute("SELECT 1")
    opened.abort()
    with pytest.raises(DBAPIError) as cut:
        await opened.execute("SELECT 1")
    assert cut.value.connection_invalidated


async def test_abort_bears_a_connection_that_is_closed_already(connect: Opener, server_url: str) -> None:
    opened = await connect(server_url)
    await opened.run(lambda connection: connection.close())
    assert opened.driver.is_closed(opened.driver_connection)
    assert opened.driver.socket_of(opened.driver_connection) is None
    opened.abort()


async def test_an_open_connection_says_so(connect: Opener, server_url: str) -> None:
    opened = await connect(server_url)
    assert not opened.driver.is_closed(opened.driver_connection)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_async and kind.name != "psycopg"], ids=str)
@on_both_loops
async def test_an_idle_connection_that_the_server_closed_says_so_without_io(
    connect: Opener, kind: Kind, database: Any
) -> None:
    opened = await connect(database.url(kind.name))
    await asyncio.to_thread(database.terminate_backends if kind.is_postgresql else database.kill_connections)
    async with asyncio.timeout(5):
        while not opened.driver.is_closed(opened.driver_connection):  # noqa: ASYNC110 - the flag is what is tested
            await asyncio.sleep(0)


@asyncio_drivers
async def test_a_session_whose_commit_was_cut_off_gives_its_slot_back_without_waiting(
    server_url: str, proxy: FaultProxy
) -> None:
    url = make_url(proxy.url(server_url))
    driver = driver_for(url, is_async=True)
    engine = create_async_engine(url, pool_size=1, max_overflow=0, connect_args=driver.connect_args(ConnectOptions()))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (id INT)"))
    session = AsyncSession(engine)
    await session.execute(text("INSERT INTO orders VALUES (1)"))
    driver_connection = (await (await session.connection()).get_raw_connection()).driver_connection
    proxy.drop()
    commit = asyncio.create_task(session.commit())
    await asyncio.wait([commit], timeout=0.1)
    driver.abort(driver_connection)
    # A graceful close would wait 2 s for asyncpg's answer; nothing may wait for a peer that is silent.
    async with asyncio.timeout(1):
        with pytest.raises(DBAPIError):
            await commit
        await session.rollback()
        await session.close()
    assert engine.pool.checkedout() == 0
    proxy.heal()
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await engine.dispose()
