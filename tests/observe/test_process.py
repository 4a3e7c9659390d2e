"""What a snapshot tells of the process: its threads, and its other pools for the same database."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from anyio import to_thread
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tests.servers import FreshDatabase

import poolkeeper
from poolkeeper import Database
from poolkeeper.model import Threads
from poolkeeper.observe import ThreadWatch, live_pools
from poolkeeper.pool import KeeperPool

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")
LIMIT = 40


def block(may_end: threading.Event) -> None:
    may_end.wait(20)


def block_elsewhere(may_end: threading.Event) -> None:
    may_end.wait(20)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not come to that within 10 s")


async def test_the_threads_numbers_are_anyios_and_their_line_is_named_while_they_are_too_few() -> None:
    watch, may_end = ThreadWatch(), threading.Event()
    watch.begin()
    assert watch.threads() == Threads(LIMIT)
    async with asyncio.TaskGroup() as group:
        for number in range(LIMIT + 3):
            group.create_task(to_thread.run_sync(block if number % 4 else block_elsewhere, may_end))
            if number == LIMIT - 1:
                await until(lambda: watch.threads() == Threads(LIMIT, LIMIT, 0))
        # A thread that has just begun is not there yet.
        await until(lambda: (found := watch.threads()) is not None and found.there == 30)
        found = watch.threads()
        # Whoever asks from a thread of his own sees the same.
        seen_there: list[Threads | None] = []
        looker = threading.Thread(target=lambda: seen_there.append(watch.threads()))
        looker.start()
        looker.join()
        may_end.set()
    assert found is not None
    assert seen_there == [found]
    assert (found.limit, found.busy, found.waiting, found.there) == (LIMIT, LIMIT, 3, 30)
    assert found.is_exhausted
    assert found.site is not None
    assert found.site.startswith("observe/test_process.py:")
    assert found.site.endswith("in block")
    watch.end()


def test_without_an_event_loop_nothing_is_known() -> None:
    watch = ThreadWatch()
    watch.begin()
    assert watch.threads() is None


async def test_a_database_knows_its_loops_threads(fresh_database: FreshDatabase) -> None:
    async with Database(fresh_database.url("psycopg"), min_idle=0) as database:
        assert database.snapshot().threads == Threads(LIMIT)

        def use() -> Threads | None:
            with database.sync_session() as session:
                session.execute(SELECT)
                return database.snapshot().threads

        assert await to_thread.run_sync(use) == Threads(LIMIT, 1)


async def test_watched_engines_of_one_database_are_counted_while_they_have_connections(
    fresh_database: FreshDatabase,
) -> None:
    def watched(**options: object) -> tuple[AsyncEngine, poolkeeper.Watch]:
        engine = create_async_engine(fresh_database.url(), **options)
        return engine, poolkeeper.watch(engine)

    elsewhere = create_async_engine(fresh_database.url().replace(fresh_database.name, "postgres"))
    poolkeeper.watch(elsewhere)
    engines = [
        watched(pool_size=2, max_overflow=1),
        watched(poolclass=KeeperPool, pool_size=4, max_overflow=0),
        watched(pool_size=1, max_overflow=0),
    ]
    seen = engines[0][1]
    async with AsyncExitStack() as used:
        await used.enter_async_context(elsewhere.connect())
        for engine, _ in engines[:2]:
            connection = await used.enter_async_context(engine.connect())
            await connection.execute(SELECT)
        pools = seen.snapshot().pools
        assert pools is not None
        assert (pools.count, pools.open, pools.capacity) == (2, 2, 7)
    for engine, _ in engines:
        await engine.dispose()
    await elsewhere.dispose()
    pools = seen.snapshot().pools
    assert pools is not None
    assert (pools.count, pools.open) == (1, 0)


async def test_an_engine_that_is_gone_is_not_kept(fresh_database: FreshDatabase) -> None:
    engine = create_async_engine(fresh_database.url())
    seen = poolkeeper.watch(engine)

    async def makes_its_own() -> None:
        own = create_async_engine(fresh_database.url())
        poolkeeper.watch(own)
        async with own.connect() as connection:
            await connection.execute(SELECT)
        await own.dispose()

    for _ in range(3):
        await makes_its_own()
    gc.collect()
    assert [pool for pool in live_pools._live if pool.engine.url == engine.url] == [seen._pool]
    await engine.dispose()
