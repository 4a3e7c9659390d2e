"""`poolkeeper.watch` tells of stock pools what they tell, and says what they do not."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool
from tests.servers import FreshDatabase

import poolkeeper
from poolkeeper.pool import KeeperPool

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")


async def test_an_engine_with_a_stock_pool_is_seen(fresh_database: FreshDatabase) -> None:
    engine = create_async_engine(fresh_database.url(), pool_size=2, max_overflow=1, pool_timeout=5, pool_recycle=600)
    seen = poolkeeper.watch(engine, name="orders")
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        await asyncio.sleep(0.05)
        pool = seen.snapshot()
        assert (pool.name, pool.capacity, pool.pool_size, pool.in_use, pool.idle) == ("orders", 3, 2, 1, 0)
        assert (pool.pool_timeout, pool.pool_recycle, pool.opened) == (5, 600, 1)
        (holder,) = pool.holders
        assert holder.site is not None
        assert holder.site.endswith("in test_an_engine_with_a_stock_pool_is_seen")
        assert (holder.statement, holder.statements, holder.in_sql) == ("SELECT ?", 1, False)
        assert [holder.backend] == [session.pid for session in fresh_database.activity()]
    pool = seen.snapshot()
    assert (pool.in_use, pool.idle, pool.totals.served, pool.totals.returned) == (0, 1, 1, 1)
    assert pool.timings.holds.total >= 0.05
    assert pool.loop_lag is not None
    await engine.dispose()
    assert seen.snapshot().idle == 0


async def test_what_a_stock_pool_cannot_tell_is_named_and_nothing_is_made_up(fresh_database: FreshDatabase) -> None:
    engine = create_async_engine(fresh_database.url(), pool_size=1, max_overflow=0)
    seen = poolkeeper.watch(engine)
    async with engine.connect():
        waiting = asyncio.ensure_future(engine.connect().start())
        await asyncio.sleep(0.05)
        pool = seen.snapshot()
        assert {"waiting", "oldest_waiter", "totals.requests", "timings.waits", "closed"} <= pool.unknown
        assert (pool.waiting, pool.oldest_waiter, pool.totals.requests, pool.timings.waits.count) == (0, None, 0, 0)
    await (await waiting).close()
    await engine.dispose()


async def test_failing_connects_of_a_stock_pool_are_told(fresh_database: FreshDatabase) -> None:
    engine = create_async_engine(fresh_database.url().replace("/test_", "/no_such_"))
    seen = poolkeeper.watch(engine)
    with pytest.raises((SQLAlchemyError, OSError)):
        await engine.connect()
    pool = seen.snapshot()
    assert pool.totals.connect_failures == {"no-such-database": 1}
    assert pool.connect_trouble is not None
    assert pool.connect_trouble.sqlstate == "3D000"
    assert pool.connecting == 0


async def test_a_keeper_pool_in_a_plain_engine_knows_all(fresh_database: FreshDatabase) -> None:
    engine = create_async_engine(fresh_database.url(), poolclass=KeeperPool, pool_size=1, max_overflow=0)
    seen = poolkeeper.watch(engine)
    assert seen.snapshot().unknown == frozenset()
    async with engine.connect():
        waiting = asyncio.ensure_future(engine.connect().start())
        await asyncio.sleep(0.05)
        assert seen.snapshot().waiting == 1
    await (await waiting).close()
    totals = seen.snapshot().totals
    assert (totals.requests, totals.served, totals.returned) == (2, 2, 2)
    # Once is enough.
    assert poolkeeper.watch(engine).snapshot().totals == totals
    await engine.dispose()


def test_an_engine_for_threads_is_seen(fresh_database: FreshDatabase) -> None:
    engine = create_engine(fresh_database.url("psycopg"), pool_size=2, max_overflow=0)
    seen = poolkeeper.watch(engine)
    with engine.connect() as connection:
        connection.execute(SELECT)
        time.sleep(0.02)
        pool = seen.snapshot()
        assert (pool.in_use, pool.capacity, pool.loop_lag) == (1, 2, None)
        (holder,) = pool.holders
        assert holder.site is not None
        assert holder.site.endswith("in test_an_engine_for_threads_is_seen")
        assert [holder.backend] == [session.pid for session in fresh_database.activity()]
    engine.dispose()


def test_a_pool_that_keeps_nothing_has_nothing_idle(fresh_database: FreshDatabase) -> None:
    engine = create_engine(fresh_database.url("psycopg"), poolclass=NullPool)
    seen = poolkeeper.watch(engine)
    with engine.connect() as connection:
        connection.execute(SELECT)
        assert (seen.snapshot().in_use, seen.snapshot().idle, seen.snapshot().capacity) == (1, 0, None)
    assert (seen.snapshot().in_use, seen.snapshot().idle) == (0, 0)
