"""A database is suspended, resumed and resized while it runs, and moves from one event loop to the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import exc, text
from sqlalchemy.orm import Session
from tests.database.stores import AIOSQLITE, BLOCKING, MARIADB, POSTGRESQL, Store, on
from tests.servers import left_after_a_moment

from poolkeeper import Database, PoolClosed
from poolkeeper.errors import PoolSaturated, PoolTimeout

SELECT = text("SELECT 1")
asyncio_drivers = on(*POSTGRESQL, *MARIADB)


@asynccontextmanager
async def held(database: Database) -> AsyncIterator[None]:
    async with database.session() as session:
        await session.execute(SELECT)
        yield


async def select(database: Database) -> None:
    async with held(database):
        pass


def sync_connection_of(database: Database) -> int:
    with database.sync_session() as session:
        return connection_of(session)


def connection_of(session: Session) -> int:
    asked = "connection_id()" if session.get_bind().dialect.name == "mysql" else "pg_backend_pid()"
    return int(session.scalar(text(f"SELECT {asked}")) or 0)


@pytest.mark.anyio
@asyncio_drivers
async def test_callers_wait_while_a_database_is_suspended(store: Store) -> None:
    async with store.make(pool_size=5) as database:
        async with held(database):
            database.suspend()
            waiting = asyncio.create_task(select(database))
            await asyncio.wait([waiting], timeout=0.1)
            assert not waiting.done()
            assert database.snapshot().waiting == 1
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()
        database.resume()
        async with asyncio.timeout(5):
            await waiting


@pytest.mark.anyio
@on(*BLOCKING)
async def test_threads_wait_while_a_database_is_suspended(store: Store) -> None:
    async with store.make(pool_size=2, max_overflow=0) as database:
        with database.sync_session() as one, database.sync_session() as two:
            before = {connection_of(one), connection_of(two)}
            # They wait for those two when it is suspended, and for its end from then on.
            waiting = [asyncio.create_task(asyncio.to_thread(sync_connection_of, database)) for _ in range(4)]
            while database.snapshot().waiting < 4:  # noqa: ASYNC110 - no event tells of a wait
                await asyncio.sleep(0.01)
            database.suspend()
            assert one.execute(SELECT)
        await asyncio.wait(waiting, timeout=0.1)
        snapshot = database.snapshot()
        assert (snapshot.in_use, snapshot.waiting) == (0, 4)
        database.resume()
        async with asyncio.timeout(5):
            after = await asyncio.gather(*waiting)
        assert before.isdisjoint(after)


@pytest.mark.anyio
@on(BLOCKING[0])
async def test_threads_wait_no_longer_than_pool_timeout(store: Store) -> None:
    async with store.make(pool_timeout=0.1) as database:
        database.suspend()
        # Its engine is made only now.
        with pytest.raises(PoolTimeout, match=r"suspended for longer than its timeout of 0\.1 s"):
            await asyncio.to_thread(sync_connection_of, database)
        # Looking past the pool goes on.
        assert await database.probe() < 5
        # A shutdown ends it.
        await database.close()
        await database.start()
        await asyncio.to_thread(sync_connection_of, database)


@pytest.mark.anyio
@on(POSTGRESQL[0])
async def test_a_smaller_pool_closes_what_is_too_many(store: Store) -> None:
    async with store.make(pool_size=8, min_idle=8) as database:
        assert len(store.connections()) == 8
        database.resize(5)
        assert database.snapshot().capacity == 5
        assert len(await asyncio.to_thread(left_after_a_moment, lambda: store.connections()[5:])) == 0
        database.resize(10, min_idle=10)
        async with asyncio.timeout(5):
            while database.snapshot().idle < 10:  # noqa: ASYNC110 - nothing tells of a connection that is open
                await asyncio.sleep(0.01)


@pytest.mark.anyio
@on(AIOSQLITE[1])
async def test_a_pool_of_sqlalchemys_can_neither_be_suspended_nor_resized(store: Store) -> None:
    async with store.make() as database:
        for act in (database.suspend, database.resume, lambda: database.resize(5)):
            with pytest.raises(exc.InvalidRequestError, match="StaticPool cannot be"):
                act()
        await select(database)


@pytest.mark.anyio
@asyncio_drivers
async def test_a_closed_database_gives_out_no_connections_by_its_engine_either(store: Store) -> None:
    database = store.make()
    await database.start()
    await select(database)
    await database.close()
    with pytest.raises(PoolClosed):
        async with database.engine.connect():
            pass
    await database.start()
    async with database.engine.connect() as connection:
        assert await connection.scalar(SELECT) == 1
    await database.close()


@pytest.mark.anyio
@on(POSTGRESQL[0])
async def test_who_waits_for_a_connection_when_a_shutdown_runs_out_of_time_gets_none(store: Store) -> None:
    database = store.make(pool_size=1)
    got: list[BaseException] = []

    async def hold() -> None:
        async with held(database):
            await asyncio.sleep(30)

    async def wait() -> None:
        try:
            await select(database)
        except PoolClosed as error:
            got.append(error)

    tasks = [asyncio.create_task(hold(), name="holder")]
    while not database.snapshot().in_use:  # noqa: ASYNC110 - no event tells of a checkout
        await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(wait()) for _ in range(3)]
    while database.snapshot().waiting < 3:  # noqa: ASYNC110 - no event tells of a wait
        await asyncio.sleep(0.01)
    assert not await database.close(deadline=0.1)
    await asyncio.wait(tasks, timeout=5)
    assert (tasks[0].cancelled(), len(got)) == (True, 3)
    assert store.connections() == []


@pytest.mark.anyio
@on(POSTGRESQL[0])
async def test_the_error_of_a_full_pool_names_who_holds_a_connection(store: Store) -> None:
    async with store.make(pool_size=1, pool_timeout=0.1) as database, held(database):
        with pytest.raises(PoolTimeout, match=r"held longest: \S+ for \d") as full:
            await select(database)
        assert full.value.counts is not None
        assert full.value.counts.in_use == 1


@pytest.mark.anyio
@on(POSTGRESQL[0])
async def test_callers_beyond_max_waiting_are_refused_at_once(store: Store) -> None:
    async with store.make(pool_size=1, max_waiting=0) as database, held(database):
        with pytest.raises(PoolSaturated) as refused:
            await select(database)
        assert refused.value.reason == "max-waiting"


@on(*POSTGRESQL, *MARIADB)
def test_one_database_serves_one_event_loop_after_another(store: Store) -> None:
    database = store.make(pool_size=5, min_idle=2)

    async def work() -> int:
        await database.start()
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(select(database))
        return database.snapshot().in_use

    assert [asyncio.run(work()) for _ in range(3)] == [0, 0, 0]
    asyncio.run(database.close())
    assert left_after_a_moment(store.connections) == []
