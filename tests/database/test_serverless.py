"""The serverless profile: nothing is kept, and many requests of one instance open few connections."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on
from tests.servers import left_after_a_moment

from poolkeeper import ConnectFailed, Database, PoolTimeout, SettingsRefused
from poolkeeper.pool import GatedPool

pytestmark = pytest.mark.anyio

SELECT = text("SELECT 1")


def serverless(store: Store, **settings: Any) -> Database:
    return Database(store.url, profile="serverless", **settings)


@pytest.mark.slow
@on(*POSTGRESQL, MARIADB[0])
async def test_two_hundred_requests_at_once_open_five_connections(store: Store) -> None:
    most, full = 0, asyncio.Event()

    async def request(database: Database) -> None:
        nonlocal most
        async with database.session() as session:
            await session.execute(SELECT)
            most = max(most, database.snapshot().in_use)
            if most == 5:
                full.set()
            # Nobody leaves before all that are let in are in.
            await full.wait()

    async def watched() -> int:
        seen = 0
        while True:
            try:
                seen = max(seen, len(await asyncio.to_thread(store.connections)))
            except asyncio.CancelledError:
                return seen

    async with serverless(store, pool_timeout=60) as database:
        watch = asyncio.create_task(watched())
        await asyncio.gather(*(request(database) for _ in range(200)))
        watch.cancel()
        # One more may be on its way out on the server.
        assert 1 <= await watch <= 5 + 2
        snapshot = database.snapshot()
        assert (snapshot.in_use, snapshot.idle, snapshot.waiting) == (0, 0, 0)
        assert (snapshot.capacity, snapshot.totals.connects) == (5, 200)
        assert most == 5
        assert not left_after_a_moment(store.connections)


@on(*POSTGRESQL)
async def test_who_waits_too_long_is_told_and_the_others_go_on(store: Store) -> None:
    async with serverless(store, pool_size=1, pool_timeout=0.2) as database:
        async with database.session() as holder:
            await holder.execute(SELECT)
            assert database.snapshot().capacity == 1
            with pytest.raises(PoolTimeout, match="All 1 connections"):
                async with database.session() as session:
                    await session.execute(SELECT)
            assert await database.ping() < 2
        async with database.session() as session:
            await session.execute(SELECT)
        store.assert_conserved(database)


def _pass_over_lost_connects(loop: asyncio.AbstractEventLoop) -> None:
    """A connect that is cancelled just when TCP is through leaves asyncpg an error that nobody reads. Only that one."""
    others = loop.get_exception_handler()

    def hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if str(context.get("exception")) == "unexpected connection_lost() call":
            return
        if others is None:
            loop.default_exception_handler(context)
        else:
            others(loop, context)

    loop.set_exception_handler(hear)


@on(*POSTGRESQL)
async def test_failed_and_cancelled_work_gives_its_seat_back(store: Store) -> None:
    async with serverless(store, pool_size=2) as database:

        async def work(seconds: float) -> None:
            async with database.session() as session:
                await session.execute(text(f"SELECT pg_sleep({seconds})"))

        _pass_over_lost_connects(asyncio.get_running_loop())
        for _ in range(5):
            tasks = [asyncio.create_task(work(5)) for _ in range(4)]
            await asyncio.sleep(0.03)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        with pytest.raises(ZeroDivisionError):
            async with database.session() as session:
                await session.execute(SELECT)
                raise ZeroDivisionError
        connection = await database.engine.connect()
        await connection.invalidate()
        await connection.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*(work(0) for _ in range(6)))
        await database.engine.dispose()
        await asyncio.gather(*(work(0) for _ in range(6)))
        assert isinstance(database.engine.pool, GatedPool)
        assert "0 open of 2, 0 waiting" in database.engine.pool.status()
        store.assert_conserved(database)


async def test_failed_connects_give_their_seats_back() -> None:
    url = "postgresql+asyncpg://u@127.0.0.1:1/db"
    async with Database(url, profile="serverless", pool_size=1, pool_timeout=5) as database:
        for _ in range(3):
            with pytest.raises(ConnectFailed):
                async with asyncio.timeout(2), database.session() as session:
                    await session.execute(SELECT)


@pytest.mark.slow
@on(*BLOCKING)
async def test_threads_pass_the_same_gate(store: Store) -> None:
    database, most, lock = serverless(store, pool_size=3), [0], threading.Lock()

    def request() -> None:
        with database.sync_session() as session:
            session.execute(SELECT)
            with lock:
                most[0] = max(most[0], database.snapshot().in_use)

    with ThreadPoolExecutor(12) as threads:
        for future in [threads.submit(request) for _ in range(40)]:
            future.result()
    assert most[0] <= 3
    assert database.snapshot().in_use == 0
    await database.close()


def test_one_database_serves_one_event_loop_after_another() -> None:
    url = "postgresql+asyncpg://u@127.0.0.1:1/db"
    database = Database(url, profile="serverless", pool_size=1)

    async def event() -> None:
        with pytest.raises(ConnectFailed):
            async with database.session() as session:
                await session.execute(SELECT)

    began = time.monotonic()
    for _ in range(2):
        asyncio.run(event())
    assert time.monotonic() - began < 10


@on(*POSTGRESQL)
def test_an_instance_that_was_frozen_goes_on(store: Store) -> None:
    database, attempts = serverless(store), 0

    async def add(session: AsyncSession, number: int, *, is_frozen: bool) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute(text("INSERT INTO note VALUES (:number, '')"), {"number": number})
        if is_frozen and attempts == 2:
            # Meanwhile the server ends what is open.
            await asyncio.to_thread(store.server.terminate_backends)
        await session.execute(SELECT)

    def handler(event: dict[str, int], _context: object) -> None:
        asyncio.run(database.run(add, event["number"], is_frozen=event["number"] == 2))

    for number in (1, 2, 3):
        handler({"number": number}, None)
        # Between two events there is nothing that could die.
        assert not left_after_a_moment(store.connections)
    assert (store.rows(), attempts) == (3, 4)


def test_the_budget_counts_what_all_instances_may_open() -> None:
    with pytest.raises(SettingsRefused, match="1 workers x 40 instances x 5 connections = 200"):
        Database("postgresql+asyncpg://u@h/db", profile="serverless", instances=40, max_connections=100)
