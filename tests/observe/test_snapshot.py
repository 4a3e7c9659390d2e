"""What a snapshot says is what the server sees."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.pool import NullPool
from tests.database.stores import AIOSQLITE, MARIADB, POSTGRESQL, Store, on
from tests.servers import left_after_a_moment

from poolkeeper import Database, PoolSnapshot
from poolkeeper.model import CloseReason
from poolkeeper.observe import current_scope

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")
everywhere = on(*POSTGRESQL, *MARIADB)


def numbers(database: Database) -> tuple[int, int, int]:
    pool = database.snapshot()
    return pool.in_use, pool.idle, pool.waiting


@everywhere
async def test_the_numbers_are_the_servers_own_under_concurrency(store: Store) -> None:
    async with store.make(pool_size=5) as database:
        snapshots: list[PoolSnapshot] = []

        async def work() -> None:
            async with database.session() as session:
                await session.execute(text(store.sleep(0.05)))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for _ in range(12)]
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0.005)
                snapshots.append(database.snapshot())
        assert max(pool.in_use for pool in snapshots) == 5
        assert any(pool.saturated for pool in snapshots)
        assert all(pool.capacity == 5 and pool.in_use + pool.idle <= 5 for pool in snapshots)
        # A connection that was just handed over is in use a moment before its caller runs.
        assert all(len(pool.holders) <= pool.in_use for pool in snapshots)
        assert numbers(database) == (0, 5, 0)
        assert len(store.connections()) == 5


@everywhere
async def test_an_invalidated_connection_is_neither_idle_nor_in_use(store: Store) -> None:
    async with store.make(pool_size=5) as database:
        async with database.engine.connect() as kept, database.engine.connect() as lost:
            await kept.execute(SELECT)
            await lost.execute(SELECT)
            assert numbers(database) == (2, 0, 0)
            await lost.invalidate()
            assert numbers(database)[1] == 0
        assert numbers(database) == (0, 1, 0)
        pool = database.snapshot()
        assert (pool.opened, pool.closed) == (2, {CloseReason.INVALIDATED: 1})
        async with database.session() as session:
            await session.execute(SELECT)
            assert numbers(database) == (1, 0, 0)
        await asyncio.to_thread(left_after_a_moment, lambda: store.connections()[1:])
        assert len(store.connections()) == 1


# SQLAlchemy leaves a detached connection of psycopg to the garbage collector.
@on(POSTGRESQL[0], *MARIADB)
async def test_a_detached_connection_is_its_holders_alone(store: Store) -> None:
    async with store.make(pool_size=5) as database:
        connection = await database.engine.connect()
        await connection.execute(SELECT)
        assert connection.sync_connection is not None
        connection.sync_connection.detach()
        assert numbers(database) == (0, 0, 0)
        assert len(store.connections()) == 1
        await connection.close()
        assert numbers(database) == (0, 0, 0)


@on(*POSTGRESQL)
async def test_a_null_pool_has_a_limit_and_nothing_idle(store: Store) -> None:
    async with store.make(pool="null") as database:
        assert isinstance(database.engine.pool, NullPool)
        async with database.session() as session:
            await session.execute(SELECT)
            assert numbers(database) == (1, 0, 0)
            snapshot = database.snapshot()
            assert (snapshot.capacity, snapshot.pool_size) == (20, 0)
        assert numbers(database) == (0, 0, 0)


@on(AIOSQLITE[1])
async def test_a_static_pool_has_one_connection(store: Store) -> None:
    async with store.make() as database:
        async with database.session() as session:
            await session.execute(SELECT)
            assert database.snapshot().capacity == 1
            assert numbers(database)[0] == 1
        assert numbers(database) == (0, 1, 0)


@everywhere
async def test_holders_carry_task_and_route_and_the_longest_comes_first(store: Store) -> None:
    class Route:
        path = "/orders/{order_id}"

    async with store.make(pool_size=5) as database:
        held, may_end = asyncio.Semaphore(0), asyncio.Event()

        async def hold(scope: dict[str, object] | None) -> None:
            current_scope.set(scope)
            async with database.session() as session:
                await session.execute(SELECT)
                held.release()
                await may_end.wait()

        async with asyncio.TaskGroup() as group:
            group.create_task(hold(None), name="first")
            await held.acquire()
            group.create_task(hold({"method": "GET", "route": Route()}), name="second")
            await held.acquire()
            first, second = database.snapshot().holders
            assert (first.task, first.route) == ("first", None)
            assert (second.task, second.route) == ("second", "GET /orders/{order_id}")
            assert first.seconds > second.seconds
            may_end.set()
