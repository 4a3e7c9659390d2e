"""A database says why callers get no connection: when asked, and in the errors of those callers."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from sqlalchemy import Connection, text
from tests.database.stores import AIOSQLITE, BLOCKING, MARIADB, POSTGRESQL, Store, on
from tests.servers import left_after_a_moment

from poolkeeper import Database
from poolkeeper.database.door import Door
from poolkeeper.errors import PoolSaturated, PoolTimeout
from poolkeeper.pool import Caller, current_caller

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")


async def leak(database: Database) -> object:
    connection = await database.engine.connect()
    await connection.execute(SELECT)
    return connection


async def refused(database: Database) -> PoolTimeout:
    with pytest.raises(PoolTimeout) as caught:
        await leak(database)
    return caught.value


@on(*POSTGRESQL, *MARIADB)
async def test_a_timeout_names_the_holder_its_line_and_the_cause(store: Store) -> None:
    async with store.make(pool_size=5, max_overflow=0, pool_timeout=0.3) as database:
        kept = [await asyncio.create_task(leak(database), name=f"task {number}") for number in range(5)]
        error = await refused(database)
        assert "leak (certain): 5 of 5 connections" in str(error)
        assert "test_explaining.py" in str(error)
        assert "in leak" in str(error)
        assert all(f"task {number}" in error.report for number in range(5))
        for connection in kept:
            await connection.close()  # type: ignore[attr-defined]


@on(*BLOCKING)
async def test_a_thread_that_times_out_is_told_too(store: Store) -> None:
    async with store.make(pool_size=5, max_overflow=0, pool_timeout=0.3) as database:

        def take() -> Connection:
            connection = database.sync_engine.connect()
            connection.execute(SELECT)
            return connection

        kept: list[Connection] = []
        for _ in range(5):
            # One each: who takes a second one would be the cause.
            thread = threading.Thread(target=lambda: kept.append(take()))
            thread.start()
            thread.join()
        with pytest.raises(PoolTimeout) as caught:
            await asyncio.to_thread(take)
        assert "limit of size 5 overflow 0 reached" in str(caught.value)
        assert "5 of 5" in str(caught.value)
        assert "in take" in caught.value.report
        assert caught.value.counts is not None
        assert (caught.value.counts.in_use, caught.value.counts.idle) == (5, 0)
        for connection in kept:
            connection.close()


@on(POSTGRESQL[1])
async def test_threads_that_time_out_together_are_told_one_story(store: Store) -> None:
    async with store.make(pool_size=5, max_overflow=0, pool_timeout=0.3) as database:
        told, report = [], database.explaining.report

        def counted() -> object:
            told.append(1)
            return report()

        kept = [database.sync_engine.connect() for _ in range(5)]
        database.sync_engine.pool.reporter = counted  # type: ignore[attr-defined]
        # At the door of `def` endpoints, too.
        database.door.reporter = counted  # type: ignore[assignment]
        waits = (asyncio.to_thread(database.sync_engine.connect) for _ in range(10))
        errors = await asyncio.gather(*waits, *(enter(database.door) for _ in range(10)), return_exceptions=True)
        failed = [error for error in errors if isinstance(error, PoolTimeout)]
        assert len(failed) == 15
        assert all("test_explaining.py" in error.report for error in failed)
        # One of the pool's, one of the door's.
        assert len(told) == 2
        for connection in kept:
            connection.close()


async def enter(door: Door) -> None:
    async with door.passed():
        await asyncio.sleep(1)


@on(POSTGRESQL[0])
@pytest.mark.slow
@pytest.mark.parametrize("unasked", [True, False])
async def test_the_server_is_not_looked_at_unasked_where_that_is_not_wanted(store: Store, unasked: bool) -> None:
    async with store.make(pool_size=1, max_overflow=0, pool_timeout=20, look_at_server=unasked) as database:
        async with database.engine.connect():
            waiting = asyncio.create_task(leak(database))
            await asyncio.sleep(3)
            looked = "looked" if database.explaining._facts else "not looked"
            assert (await database.explain()).facts is not None
        await (await waiting).close()  # type: ignore[attr-defined]
    assert looked == ("looked" if unasked else "not looked")


@on(POSTGRESQL[0])
@pytest.mark.parametrize("slow_hold", [0.2, pytest.param(None, marks=pytest.mark.slow)])
async def test_a_long_hold_is_logged_from_slow_hold_on(
    store: Store, slow_hold: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with store.make(slow_hold=slow_hold) as database, database.engine.connect():
        await asyncio.sleep(1.2)
    told = [record for record in caplog.records if getattr(record, "event", "") == "connection_held_long"]
    assert len(told) == (slow_hold is not None)


@on(POSTGRESQL[0])
async def test_all_who_are_turned_away_at_once_get_one_report(store: Store) -> None:
    async with store.make(pool_size=5, max_overflow=0, pool_timeout=0.3, max_waiting=3) as database:
        kept = [await asyncio.create_task(leak(database)) for _ in range(5)]
        told, report = [], database.explaining.report

        def counted() -> object:
            told.append(1)
            return report()

        database.engine.sync_engine.pool.reporter = counted  # type: ignore[attr-defined]
        errors = await asyncio.gather(*(refused(database) for _ in range(20)))
        assert any(isinstance(error, PoolSaturated) for error in errors)
        assert all("leak (certain): 5 of 5" in str(error) for error in errors)
        # Those refused at once, and those who timed out later.
        assert len(told) <= 2
        for connection in kept:
            await connection.close()  # type: ignore[attr-defined]


async def audit(database: Database) -> None:
    async with database.session() as session:
        await session.execute(SELECT)  # the second


async def nests(database: Database, holding: float = 0.1) -> None:
    current_caller.set(Caller())
    async with database.session() as session:
        await session.execute(SELECT)
        await asyncio.sleep(holding)
        await audit(database)


@on(*POSTGRESQL, *MARIADB)
@pytest.mark.parametrize("size", [1, 3])
async def test_a_refused_nested_checkout_is_told_as_one_in_its_error_and_afterwards(store: Store, size: int) -> None:
    async with store.make(pool_size=size, max_overflow=0, pool_timeout=20) as database:
        outcomes = await asyncio.gather(*(nests(database) for _ in range(2 * size)), return_exceptions=True)
        errors = [error for error in outcomes if error is not None]
        assert errors
        for error in errors:
            assert isinstance(error, PoolSaturated)
            assert error.reason == "nobody-returns"
            message = str(error)
            for told in (message.partition("\n")[0], message.partition("\n")[2], error.report):
                assert "in nests" in told
                assert "in audit" in told
            assert "nested-checkout (certain)" in message
            assert "Pass the session down" in message
        # All that deadlocked has been resolved.
        explanation = await database.explain()
        assert explanation.snapshot.in_use == 0
        first = explanation.findings[0]
        assert (first.code, first.severity, first.figures["refused"]) == ("nested-checkout", "error", len(errors))
        assert explanation.snapshot.totals.refusals == {"nobody-returns": len(errors)}


@on(POSTGRESQL[0])
async def test_what_others_were_told_just_now_is_not_told_to_a_nested_checkout(store: Store) -> None:
    async with store.make(pool_size=2, max_overflow=0, pool_timeout=20, max_waiting=0) as database:
        kept = [await asyncio.create_task(leak(database)) for _ in range(2)]
        assert "nested" not in str(await refused(database))
        await kept.pop().close()  # type: ignore[attr-defined]
        with pytest.raises(PoolSaturated) as caught:
            await asyncio.create_task(nests(database, 0))
        assert "nested-checkout (certain)" in str(caught.value)
        await kept.pop().close()  # type: ignore[attr-defined]


@on(POSTGRESQL[0])
async def test_who_is_refused_because_of_leaks_is_told_who_leaked(store: Store) -> None:
    async with store.make(pool_size=2, max_overflow=0, pool_timeout=20, client_timeout=1) as database:
        kept = [await asyncio.create_task(leak(database), name=f"task {number}") for number in range(2)]
        sent_away, told_at_once = await refused(database), await refused(database)
        assert isinstance(told_at_once, PoolSaturated)
        assert told_at_once.reason == "nobody-returns"
        for error in (sent_away, told_at_once):
            assert "has ended without returning it" in str(error)
            assert "leak (certain): 2 of 2 connections" in str(error)
            assert "in leak" in str(error)
            assert all(f"task {number}" in error.report for number in range(2))
        for connection in kept:
            await connection.close()  # type: ignore[attr-defined]


@on(POSTGRESQL[0])
async def test_a_report_that_fails_hides_no_error(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async with store.make(pool_size=5, max_overflow=0, pool_timeout=0.3, max_waiting=1) as database:
        kept = [await leak(database) for _ in range(5)]
        database.engine.sync_engine.pool.reporter = lambda: 1 / 0  # type: ignore[attr-defined]
        error = await refused(database)
        assert "limit of size 5 overflow 0 reached" in str(error)
        assert error.report == ""
        assert "ZeroDivisionError" in caplog.text
        for connection in kept:
            await connection.close()  # type: ignore[attr-defined]


@on(POSTGRESQL[0])
async def test_the_server_is_looked_at_while_callers_wait(store: Store) -> None:
    async with (
        store.make(pool_size=5, max_overflow=0, pool_timeout=20) as database,
        database.engine.connect() as locks,
    ):
        await locks.execute(text("LOCK TABLE note IN ACCESS EXCLUSIVE MODE"))

        async def read() -> None:
            async with database.session() as session:
                await session.execute(text("SELECT body FROM note"))

        readers = [asyncio.create_task(read()) for _ in range(6)]
        # Its own look, at the pace of the history; nobody asked.
        async with asyncio.timeout(10):
            while (found := database.explaining.findings()[:1]) == () or found[0].code != "ddl-queue":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert found[0].unseen == ()
        assert "LOCK TABLE note" in found[0].why
        await locks.rollback()
        await asyncio.gather(*readers)


@on(POSTGRESQL[0])
async def test_a_look_under_way_ends_with_the_database(store: Store) -> None:
    database = store.make(pool_size=5)
    await database.start()
    async with database.engine.connect() as connection:
        await connection.execute(SELECT)
        look = asyncio.create_task(database.explain())
        await asyncio.sleep(0.005)
        look.cancel()
        await asyncio.wait([look])
    began = time.monotonic()
    await database.close()
    assert time.monotonic() - began < 3
    assert await asyncio.to_thread(left_after_a_moment, store.connections) == []


@on(AIOSQLITE[0])
async def test_without_a_server_there_are_no_facts(store: Store) -> None:
    async with store.make() as database:
        explanation = await database.explain()
        assert (explanation.facts, explanation.problem, explanation.findings) == (None, None, ())


async def test_a_database_that_is_away_is_the_finding(closed_port: int) -> None:
    database = Database(f"postgresql+asyncpg://me:hush4711@127.0.0.1:{closed_port}/shop", min_idle=0, pool_timeout=1)
    async with database:
        with pytest.raises(Exception, match="refused"):
            await leak(database)
        explanation = await database.explain()
        assert explanation.facts is None
        assert explanation.problem is not None
        assert explanation.findings[0].code == "connect-refused"
        assert "hush4711" not in str(explanation.as_dict())
