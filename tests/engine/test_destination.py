"""Hosts that take no writes: who gets a connection there, who waits, and who is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from sqlalchemy import exc, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase

from poolkeeper import ConnectFailed, ConnectFailure, Database
from poolkeeper.model import CloseReason
from poolkeeper.settings import Dsn
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.anyio
drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
first_by_default = pytest.mark.parametrize("driver", ["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
INSERT = text("INSERT INTO note VALUES (1)")
BACKEND = text("SELECT pg_backend_pid()")


def make_read_only(server: FreshDatabase, *, table: bool = True) -> Callable[[], None]:
    """Let new sessions begin as on a server that was demoted; the function makes an end of it."""

    def over() -> None:
        server.server.execute(f'ALTER DATABASE "{server.name}" RESET default_transaction_read_only')

    if table:
        server.execute("CREATE TABLE note (id int)")
    server.server.execute(f'ALTER DATABASE "{server.name}" SET default_transaction_read_only = on')
    return over


async def demoted(server: FreshDatabase, database: Database) -> Callable[[], None]:
    """The same for a server that this database has met before; its connections are broken, as by a restart."""
    async with database.session() as session:
        assert await backend(session)
    over = await asyncio.to_thread(make_read_only, server)
    await asyncio.to_thread(server.terminate_backends, "state = 'idle'")
    return over


def several(server: FreshDatabase, driver: str) -> str:
    """The same host twice, in libpq's way."""
    url = make_url(server.url(driver))
    return f"{url.drivername}://{url.username}@{url.host}:{url.port},{url.host}:{url.port}/{url.database}"


async def write(database: Database) -> None:
    async with database.session() as session:
        await session.execute(INSERT)


async def backend(session: AsyncSession) -> int:
    return int(await session.scalar(BACKEND) or 0)


@drivers
async def test_after_a_refused_write_callers_wait_for_a_host_that_takes_writes(
    fresh_database: FreshDatabase, driver: str
) -> None:
    over = make_read_only(fresh_database)
    async with Database(several(fresh_database, driver), pool_size=2, min_idle=0) as database:
        assert database.settings.findings[0].code == "hosts-without-target"
        with pytest.raises(exc.DBAPIError, match="read-only"):
            await write(database)
        waiting = asyncio.create_task(write(database))
        await asyncio.wait({waiting}, timeout=0.2)
        assert not waiting.done()
        failure = database.connectivity.failure
        assert failure is not None
        assert failure.reason is ConnectFailure.READ_ONLY
        over()
        async with asyncio.timeout(5):
            await waiting
        assert database.snapshot().closed[CloseReason.SQLSTATE] == 1


@drivers
async def test_where_there_is_no_other_host_writes_fail_and_reads_go_on(
    fresh_database: FreshDatabase, driver: str
) -> None:
    make_read_only(fresh_database)
    async with Database(fresh_database.url(driver), pool_size=3, min_idle=3) as database:
        for _ in range(3):
            with pytest.raises(exc.DBAPIError, match="read-only"):
                await write(database)
        async with database.read_session() as session:
            assert await backend(session)
        # All that were open at first, and then those that were tried.
        async with asyncio.timeout(5):
            while database.snapshot().closed.get(CloseReason.SQLSTATE, 0) < 3:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert database.snapshot().closed[CloseReason.SQLSTATE] <= 5


@first_by_default
async def test_a_name_whose_host_took_writes_before_is_waited_for(fresh_database: FreshDatabase, driver: str) -> None:
    async with Database(fresh_database.url(driver), pool_size=2, min_idle=0) as database:
        over = await demoted(fresh_database, database)
        with pytest.raises(exc.DBAPIError, match="read-only"):
            await write(database)
        waiting = [asyncio.create_task(write(database)) for _ in range(4)]
        await asyncio.wait(waiting, timeout=0.2)
        assert not any(task.done() for task in waiting)
        over()
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)


@first_by_default
async def test_a_database_that_stays_read_only_is_read_after_one_wait(
    fresh_database: FreshDatabase, driver: str
) -> None:
    grace = 0.6
    async with Database(fresh_database.url(driver), pool_size=2, min_idle=0, connect_grace=grace) as database:
        await demoted(fresh_database, database)
        waits: list[float] = []
        for _ in range(3):
            with pytest.raises(exc.DBAPIError, match="read-only"):
                await write(database)
            began = time.monotonic()
            async with database.read_session() as session:
                assert await backend(session)
            waits.append(time.monotonic() - began)
        print(waits)
        assert grace / 2 < waits[0]
        assert max(waits[1:]) < grace / 2


async def test_threads_wait_for_a_name_too(fresh_database: FreshDatabase) -> None:
    def write_in_thread() -> None:
        with database.sync_session() as session:
            session.execute(INSERT)

    async with Database(fresh_database.url("psycopg"), pool_size=2) as database:
        await asyncio.to_thread(fresh_database.execute, "CREATE TABLE note (id int)")
        await asyncio.to_thread(write_in_thread)
        over = make_read_only(fresh_database, table=False)
        # New connections only: the server asks nobody whose session began before.
        database.suspend()
        database.resume()
        waiting = asyncio.create_task(asyncio.to_thread(write_in_thread))
        await asyncio.wait({waiting}, timeout=0.3)
        assert not waiting.done()
        over()
        async with asyncio.timeout(5):
            await waiting


@first_by_default
async def test_without_a_pool_that_keeps_anything_callers_wait_too(fresh_database: FreshDatabase, driver: str) -> None:
    async with Database(fresh_database.url(driver), pool="null", pool_size=2) as database:
        over = await demoted(fresh_database, database)
        with pytest.raises(exc.DBAPIError, match="read-only"):
            await write(database)
        waiting = asyncio.create_task(write(database))
        await asyncio.wait({waiting}, timeout=0.2)
        assert not waiting.done()
        over()
        async with asyncio.timeout(5):
            await waiting


@drivers
async def test_no_fitting_host_is_a_failure_to_connect_with_a_name(fresh_database: FreshDatabase, driver: str) -> None:
    url = f"{fresh_database.url(driver)}?target_session_attrs=standby"
    async with Database(url, min_idle=0, connect_grace=0) as database:
        with pytest.raises(ConnectFailed) as failed:
            await write(database)
    assert failed.value.reason is ConnectFailure.READ_ONLY


@drivers
async def test_what_was_open_before_a_pause_is_not_used_after_it(fresh_database: FreshDatabase, driver: str) -> None:
    async with Database(fresh_database.url(driver), pool_size=1, max_overflow=0) as database:
        async with database.session() as session:
            before = await backend(session)
        database.suspend()
        database.resume()
        async with database.session() as session:
            assert await backend(session) != before


@first_by_default
@pytest.mark.parametrize("turns", [0, 3], ids=["while it connects", "while it asks who the server is"])
async def test_a_connect_under_way_leads_where_connections_lead_when_it_is_made(
    fresh_database: FreshDatabase, driver: str, turns: int
) -> None:
    direct = fresh_database.url(driver)
    proxied = make_url(direct)
    with FaultProxy(proxied.host or "", proxied.port or 0) as proxy:
        async with Database(proxy.url(direct), pool_size=1, min_idle=0) as database:
            proxy.latency = 0.1
            waiting = asyncio.create_task(asked(database))
            while not proxy.counters.accepted or proxy.counters.turns < turns:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.005)
            database._engines.move(Dsn(direct), cut_off=False)
            first = await asyncio.wait_for(waiting, 10)
            proxy.close_all()
            assert await asked(database) == first


async def asked(database: Database) -> int:
    async with database.session() as session:
        return await backend(session)
