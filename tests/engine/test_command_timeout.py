"""On a connection that went silent nothing waits longer than `command_timeout`, and the connection is gone after it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on

from poolkeeper import CommandTimeout, CommitUnknown, Database
from poolkeeper.testing import FaultProxy

SELECT = text("SELECT 1")
COUNTED = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 900)"
# More than any socket buffer holds, so that the rest of it has to cross the network later.
LARGE = f"{COUNTED} SELECT n, repeat('x', 20000) FROM c"
INSERT = text("INSERT INTO note VALUES (1, 'x')")
# Far above what ends by the deadline, far below what a silent peer would cost.
PATIENCE = 8
SETTINGS = {"statement_timeout": None, "command_timeout": 0.3, "pool_pre_ping": False, "pool_size": 5, "min_idle": 0}

awaiting = on(*POSTGRESQL, *MARIADB)
blocking = on(*BLOCKING)


def complaining(test: Callable[..., Any]) -> Any:
    """psycopg complains when a cursor dies with its connection."""
    for warning in ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"):
        test = pytest.mark.filterwarnings(warning)(test)
    return test


@asynccontextmanager
async def behind(proxy: FaultProxy, store: Store, **settings: object) -> AsyncIterator[Database]:
    """A database with one warm connection, behind a network that the test may break; it ends whole again."""
    if store.kind.driver == "asyncpg":
        settings = {"connect_args": {"ssl": False}, **settings}
    database = Database(proxy.url(store.url), **{**SETTINGS, **settings})
    async with database.session() as session:
        await session.execute(SELECT)
    async with asyncio.timeout(PATIENCE):
        yield database
    proxy.heal()
    async with database.session() as session:
        await session.execute(SELECT)
    await database.close()
    # What the network swallowed never reached the server: it waits for those clients until the network is gone too.
    proxy.close()
    store.assert_conserved(database)


@contextmanager
def blocked(proxy: FaultProxy, store: Store, **settings: object) -> Iterator[Database]:
    database = Database(proxy.url(store.url), **{**SETTINGS, **settings})
    with database.sync_session() as session:
        session.execute(SELECT)
    yield database
    proxy.heal()
    with database.sync_session() as session:
        session.execute(SELECT)
    asyncio.run(database.close())
    proxy.close()
    store.assert_conserved(database)


@pytest.mark.anyio
@awaiting
async def test_a_statement_ends_with_command_timeout(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store) as database:
        with pytest.raises(CommandTimeout, match=r"command_timeout = 0\.3 s") as timeout:
            async with database.session() as session:
                proxy.drop()
                await session.execute(SELECT)
        assert timeout.value.connection_invalidated
        assert isinstance(timeout.value, OperationalError)
        assert database.snapshot().in_use == database.snapshot().idle == 0


@pytest.mark.anyio
@awaiting
async def test_a_commit_ends_with_command_timeout(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store) as database:
        with pytest.raises(CommitUnknown) as unknown:
            async with database.session() as session:
                await session.execute(INSERT)
                proxy.drop()
        assert isinstance(unknown.value.orig, CommandTimeout)
        assert database.snapshot().in_use == database.snapshot().idle == 0


@pytest.mark.anyio
@awaiting
async def test_a_rollback_is_bounded_and_the_error_before_it_is_not_lost(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store) as database:
        with pytest.raises((CommandTimeout, RuntimeError)) as raised:
            async with database.session() as session:
                await session.execute(INSERT)
                proxy.drop()
                raise RuntimeError("boom")
        error = raised.value
        assert isinstance(error, RuntimeError) or isinstance(error.__context__, Exception)
        assert database.snapshot().in_use == database.snapshot().idle == 0


@pytest.mark.anyio
@awaiting
async def test_returning_a_connection_with_an_open_transaction_is_bounded(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store) as database:
        connection = await database.engine.connect()
        await connection.execute(INSERT)
        proxy.drop()
        with contextlib.suppress(DBAPIError):
            await connection.close()
        assert database.snapshot().in_use == database.snapshot().idle == 0


@pytest.mark.anyio
@awaiting
async def test_a_checkout_of_a_silent_idle_connection_takes_no_longer_than_a_ping_may(
    store: Store, proxy: FaultProxy
) -> None:
    settings = {"pool_pre_ping": True, "ping_after": 0, "command_timeout": None, "connect_timeout": 0.5}
    async with behind(proxy, store, **settings) as database:
        proxy.drop("existing")
        async with asyncio.timeout(20), database.session() as session:
            await session.execute(SELECT)
        assert database.snapshot().idle == 1


@complaining
@pytest.mark.anyio
@awaiting
async def test_a_fetch_from_a_server_side_cursor_ends_with_command_timeout(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store) as database:
        with pytest.raises(CommandTimeout):
            async with database.session() as session:
                result = await session.stream(text(LARGE), execution_options={"max_row_buffer": 10})
                await result.fetchone()
                proxy.drop()
                async for _ in result:
                    pass
        assert database.snapshot().in_use == database.snapshot().idle == 0
    gc.collect()


@pytest.mark.anyio
@awaiting
async def test_a_whole_server_side_result_is_read_through_the_deadline(store: Store, proxy: FaultProxy) -> None:
    rows = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) SELECT n FROM c"
    async with behind(proxy, store) as database, database.session() as session:
        result = await session.stream(text(rows), execution_options={"yield_per": 50})
        assert [row.n async for row in result] == list(range(1, 501))
        assert [n async for n in await session.stream_scalars(text(rows))] == list(range(1, 501))


@pytest.mark.anyio
@awaiting
async def test_closing_a_pool_of_silent_connections_is_bounded(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store) as database:
        proxy.drop("existing")
        await database.close(deadline=0.1)
        await database.start()


@blocking
def test_a_blocking_statement_ends_with_command_timeout(store: Store, proxy: FaultProxy) -> None:
    with blocked(proxy, store) as database:
        with pytest.raises(CommandTimeout), database.sync_session() as session:
            proxy.drop()
            session.execute(SELECT)
        assert database.snapshot().in_use == database.snapshot().idle == 0


@blocking
def test_a_blocking_commit_ends_with_command_timeout(store: Store, proxy: FaultProxy) -> None:
    with blocked(proxy, store) as database:
        with pytest.raises(CommitUnknown), database.sync_session() as session:
            session.execute(INSERT)
            proxy.drop()
        assert database.snapshot().in_use == database.snapshot().idle == 0


@blocking
def test_a_blocking_checkout_of_a_silent_connection_is_bounded(store: Store, proxy: FaultProxy) -> None:
    with blocked(proxy, store, pool_pre_ping=True, ping_after=0) as database:
        proxy.drop("existing")
        with database.sync_session() as session:
            session.execute(SELECT)


@complaining
@on(BLOCKING[0])
def test_a_blocking_fetch_from_a_server_side_cursor_ends_with_command_timeout(store: Store, proxy: FaultProxy) -> None:
    with blocked(proxy, store) as database:
        with pytest.raises(CommandTimeout), database.sync_session() as session:
            result = session.execute(text(LARGE), execution_options={"stream_results": True, "max_row_buffer": 10})
            result.fetchone()
            proxy.drop()
            result.fetchall()
        assert database.snapshot().in_use == database.snapshot().idle == 0
    gc.collect()
