"""Closing a database waits for who is at work, cuts off who does not end, and leaves nothing on the server."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import AsyncAdaptedQueuePool
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on
from tests.servers import FreshDatabase, left_after_a_moment

from poolkeeper import Database, Databases, PoolClosed

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")
everywhere = on(*POSTGRESQL, MARIADB[0])


@everywhere
async def test_close_waits_for_an_open_session_and_refuses_new_ones(store: Store) -> None:
    database = store.make()
    async with database.session() as session:
        await session.execute(SELECT)
        closing = asyncio.create_task(database.close())
        await asyncio.wait([closing], timeout=0.05)
        assert not closing.done()
        with pytest.raises(PoolClosed):
            async with database.session():
                pass
        await session.execute(SELECT)
    assert await closing
    assert left_after_a_moment(store.connections) == []


@everywhere
async def test_a_holder_that_does_not_end_is_named_and_cut_off(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    database = store.make()

    async def hold() -> None:
        async with database.session() as session:
            await session.execute(text(store.sleep(30)))

    holder = asyncio.create_task(hold(), name="the-slow-report")
    while not database.snapshot().in_use:  # noqa: ASYNC110 - no event tells of a checkout
        await asyncio.sleep(0.01)
    with caplog.at_level(logging.ERROR, "poolkeeper"):
        async with asyncio.timeout(10):
            assert not await database.close(deadline=0.2)
    assert "1 connections still in use 0.2 s after shutdown began" in caplog.text
    assert "the-slow-report for" in caplog.text
    await asyncio.wait([holder], timeout=5)
    assert holder.done()
    if store.kind.place == "postgresql":
        assert left_after_a_moment(store.connections) == []
    else:
        # MariaDB notices a client that is gone only when it answers it.
        store.server.kill_connections()


@everywhere
async def test_start_opens_again_and_closing_twice_is_harmless(store: Store) -> None:
    database = store.make()
    for _ in range(2):
        await database.start()
        async with database.session() as session:
            await session.execute(SELECT)
        assert await database.close()
        assert await database.close()
    assert left_after_a_moment(store.connections) == []


@everywhere
async def test_a_cancelled_close_still_closes_what_is_home(store: Store) -> None:
    database = store.make()
    async with database.session() as holder:
        await holder.execute(SELECT)
        async with database.session() as session:
            await session.execute(SELECT)
        closing = asyncio.create_task(database.close())
        await asyncio.wait([closing], timeout=0.05)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
    await database.close()
    # What came home after the cancelled close is closed in the background.
    assert await asyncio.to_thread(left_after_a_moment, store.connections) == []


@on(*BLOCKING)
async def test_close_waits_for_a_session_in_a_thread(store: Store) -> None:
    database = store.make()
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        with database.sync_session() as session:
            session.execute(SELECT)
            begun.set()
            may_end.wait(10)
            session.execute(SELECT)

    working = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.to_thread(begun.wait)
    closing = asyncio.create_task(database.close())
    await asyncio.wait([closing], timeout=0.05)
    assert not closing.done()
    may_end.set()
    await working
    assert await closing
    assert left_after_a_moment(store.connections) == []


@on(*BLOCKING)
async def test_a_thread_that_does_not_end_is_cut_off(store: Store) -> None:
    database = store.make()

    def work() -> None:
        with database.sync_session() as session:
            session.execute(text(store.sleep(30)))

    working = asyncio.create_task(asyncio.to_thread(work))
    while not database.snapshot().in_use:  # noqa: ASYNC110 - no event tells of a checkout
        await asyncio.sleep(0.01)
    assert not await database.close(deadline=0.1)
    with pytest.raises(DBAPIError):
        await working
    if store.kind.place == "mariadb":
        store.server.kill_connections()
    else:
        store.server.terminate_backends()


@on(*POSTGRESQL)
async def test_several_databases_are_known_by_name_and_closed_together(store: Store) -> None:
    databases = Databases(orders=store.make(), legacy=store.make(name="ignored"))
    async with databases:
        assert list(databases) == ["orders", "legacy"]
        assert databases["legacy"].name == "legacy"
        for database in databases.values():
            async with database.session() as session:
                await session.execute(SELECT)
        with pytest.raises(KeyError, match="no database named 'order'; there are orders, legacy"):
            databases["order"]
    assert left_after_a_moment(store.connections) == []


@on(*POSTGRESQL)
async def test_one_database_that_cannot_be_closed_keeps_no_other_from_closing(store: Store) -> None:
    class Stubborn(Database):
        async def close(self, deadline: float | None = None) -> bool:
            raise OSError("no")

    databases = Databases(stubborn=Stubborn(store.url, min_idle=0), good=store.make())
    await databases.start()
    async with databases["good"].session() as session:
        await session.execute(SELECT)
    with pytest.raises(ExceptionGroup) as failed:
        await databases.close()
    assert [str(error) for error in failed.value.exceptions] == ["no"]
    assert left_after_a_moment(store.connections) == []


@pytest.mark.anyio
async def test_looking_past_a_pool_class_of_the_users_own_keeps_no_connection(fresh_database: FreshDatabase) -> None:
    async with Database(fresh_database.url(), engine_options={"poolclass": AsyncAdaptedQueuePool}) as database:
        await database.probe()
        assert fresh_database.activity() == []


@pytest.mark.anyio
async def test_a_ping_goes_through_the_engine_that_was_made_first(fresh_database: FreshDatabase) -> None:
    async with Database(fresh_database.url("psycopg")) as database:
        _ = database.sync_engine, database.engine
        await database.ping()
        assert database.sync_engine.pool.checkedin() == 1  # type: ignore[attr-defined]
        assert database.engine.pool.checkedin() == 0  # type: ignore[attr-defined]
