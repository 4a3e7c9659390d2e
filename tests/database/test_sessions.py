"""A unit of work commits on success, rolls back on anything else, and always brings its connection home."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.database.stores import AIOSQLITE, MARIADB, POSTGRESQL, TABLE, Store, on

from poolkeeper import Database, SessionReleased

pytestmark = pytest.mark.anyio

everywhere = on(*POSTGRESQL, *MARIADB, *AIOSQLITE)
# An in-memory database is gone with the connection that a cancellation discards.
lasting = on(*POSTGRESQL, *MARIADB, AIOSQLITE[0])
on_servers = on(*POSTGRESQL, *MARIADB)

INSERT = text("INSERT INTO note VALUES (:id, 'x')")
COUNT = text("SELECT count(*) FROM note")

# MySQL goes on with a cancelled client's statement for a while, and keeps its row locked: nobody shares a row here.
numbers = itertools.count(1)


@asynccontextmanager
async def opened(store: Store, **settings: object) -> AsyncIterator[Database]:
    if store.kind.driver == "asyncpg":
        # asyncpg leaves the error of a cancelled TLS negotiation to asyncio's handler, which fails the test.
        settings = {"connect_args": {"ssl": False}, **settings}
    async with store.make(**settings) as database:
        if store.kind.place == "memory":
            async with database.session() as session:
                await session.execute(text(TABLE))
        yield database
    # The thread of a cancelled SQLite statement goes on to its end, and then reports to this loop.
    while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def rows(store: Store, database: Database) -> int:
    if store.kind.place != "memory":
        return await asyncio.to_thread(store.rows)
    async with database.read_session() as session:
        return int((await session.execute(COUNT)).scalar_one())


@everywhere
async def test_success_is_committed(store: Store) -> None:
    async with opened(store) as database:
        async with database.session() as session:
            await session.execute(INSERT, {"id": 1})
        assert await rows(store, database) == 1
        store.assert_conserved(database)


@everywhere
async def test_an_error_rolls_back(store: Store) -> None:
    async with opened(store) as database:
        with pytest.raises(RuntimeError, match="boom"):
            async with database.session() as session:
                await session.execute(INSERT, {"id": 1})
                raise RuntimeError("boom")
        assert await rows(store, database) == 0
        store.assert_conserved(database)


@everywhere
async def test_an_error_inside_a_savepoint_takes_only_that_back(store: Store) -> None:
    async with opened(store) as database:
        async with database.session() as session:
            await session.execute(INSERT, {"id": 1})
            with pytest.raises(RuntimeError, match="boom"):
                async with session.begin_nested():
                    await session.execute(INSERT, {"id": 2})
                    raise RuntimeError("boom")
            async with session.begin_nested():
                await session.execute(INSERT, {"id": 3})
        assert await rows(store, database) == 2
        store.assert_conserved(database)


@everywhere
async def test_a_read_session_reads_and_its_connection_is_good_for_writing_again(store: Store) -> None:
    async with opened(store, pool_size=5) as database:
        for number in range(3):
            async with database.read_session() as session:
                assert (await session.execute(COUNT)).scalar_one() == number
            with pytest.raises(RuntimeError, match="boom"):
                async with database.session() as session:
                    await session.execute(INSERT, {"id": 100 + number})
                    raise RuntimeError("boom")
            async with database.session() as session:
                await session.execute(INSERT, {"id": number})
        assert await rows(store, database) == 3
        store.assert_conserved(database)


@pytest.mark.parametrize("kind_of_session", ["session", "read_session"])
@everywhere
async def test_a_session_used_after_its_end_says_which_call_to_use(store: Store, kind_of_session: str) -> None:
    async with opened(store) as database:
        opening: AbstractAsyncContextManager[AsyncSession] = getattr(database, kind_of_session)()
        async with opening as session:
            await session.execute(COUNT)
        with pytest.raises(SessionReleased, match=r"ended with its `async with` block.*async with db.session\(\)"):
            await session.execute(COUNT)
        with pytest.raises(SessionReleased):
            session.add(object())
        await session.close()
        store.assert_conserved(database)


async def cancelled_at(database: Database, store: Store, seconds: float, times: int) -> None:
    async def work() -> None:
        async with database.session() as session:
            await session.execute(INSERT, {"id": next(numbers)})
            await session.execute(text(store.sleep(0.05)))
            await session.execute(COUNT)
            raise RuntimeError("never committed")

    task = asyncio.create_task(work())
    await asyncio.sleep(seconds)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    assert task.cancelled() or isinstance(task.exception(), RuntimeError)


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.slow), 3])
@lasting
async def test_a_cancelled_task_leaves_nothing_behind(store: Store, times: int) -> None:
    async with opened(store, pool_size=5) as database:
        chance = random.Random(times)
        for _ in range(20):
            await cancelled_at(database, store, chance.uniform(0, 0.06), times)
        store.assert_conserved(database)
        assert await rows(store, database) == 0


@on_servers
async def test_tasks_cancelled_while_they_wait_for_the_pool_leave_nothing_behind(store: Store) -> None:
    async with opened(store, pool_size=5) as database:
        chance = random.Random(7)
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(cancelled_at(database, store, chance.uniform(0, 0.15), 3))
        store.assert_conserved(database)
        assert await rows(store, database) == 0


@lasting
async def test_a_cancelled_anyio_scope_and_a_timeout_leave_nothing_behind(store: Store) -> None:
    async with opened(store) as database:
        with anyio.move_on_after(0.02) as scope:
            async with database.session() as session:
                await session.execute(INSERT, {"id": 1})
                await session.execute(text(store.sleep(0.3)))
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), database.session() as session:
                await session.execute(INSERT, {"id": 1})
                await session.execute(text(store.sleep(0.3)))
        with anyio.CancelScope() as scope:
            async with database.read_session() as session:
                await session.execute(COUNT)
                scope.cancel()
                await session.execute(COUNT)
        store.assert_conserved(database)
        assert await rows(store, database) == 0


@everywhere
async def test_a_cancellation_outside_any_statement_rolls_back(store: Store) -> None:
    async with opened(store) as database:
        written = asyncio.Event()

        async def work() -> None:
            async with database.session() as session:
                await session.execute(INSERT, {"id": 1})
                written.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await written.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        store.assert_conserved(database)
        assert await rows(store, database) == 0


@everywhere
async def test_the_end_of_a_read_session_bears_a_cancellation(store: Store) -> None:
    async with opened(store) as database:

        async def work() -> None:
            async with database.read_session() as session:
                await session.execute(COUNT)
                asyncio.get_running_loop().call_soon(task.cancel)

        for _ in range(10):
            task = asyncio.create_task(work())
            await asyncio.wait([task])
        store.assert_conserved(database)
