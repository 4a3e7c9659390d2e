"""What is said of those who have a connection: from where, what for, since when, and what they wait for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from tests.database.stores import MARIADB, POSTGRESQL, Store, on

from poolkeeper import Database, Holder, PoolSaturated
from poolkeeper.model import NestedCheckouts
from poolkeeper.pool import Caller, current_caller

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")
everywhere = on(*POSTGRESQL, *MARIADB)

Use = Callable[[AsyncSession], Awaitable[None]]
IsSeen = Callable[[Holder], bool]


def line_of(function: Callable[..., object], part: str) -> str:
    """How a site in this file is written, found by what stands on its line."""
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    first = function.__code__.co_firstlineno
    number = next(index for index, line in enumerate(lines[first:], first + 1) if part in line)
    return f"observe/test_holders.py:{number} in {function.__name__}"


@asynccontextmanager
async def held(database: Database, use: Use, is_seen: IsSeen = lambda _: True) -> AsyncIterator[Holder]:
    """The only holder, a task of its own, at the moment that the test is about."""

    async def hold() -> None:
        async with database.session() as session:
            await use(session)

    task = asyncio.create_task(hold(), name="the holder")
    try:
        for _ in range(1000):
            holders = database.snapshot().holders
            if holders and is_seen(holders[0]):
                break
            await asyncio.sleep(0.01)
        (holder,) = holders
        yield holder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def backends(store: Store) -> list[int]:
    """The sessions of the server, as it numbers them."""
    return [getattr(session, "pid", session) for session in store.connections()]


async def in_a_gap(session: AsyncSession) -> None:
    await session.execute(text("SELECT 'secret', 1"))  # the checkout
    await session.execute(text("SELECT id FROM note WHERE body = :body"), {"body": "secret"})
    await asyncio.sleep(30)  # the gap


def is_in_a_gap(holder: Holder) -> bool:
    return holder.statements == 2 and holder.in_sql is False and (holder.state_seconds or 0) > 0.01


def is_in_sql(holder: Holder) -> bool:
    return holder.in_sql is True and (holder.state_seconds or 0) > 0.02


@everywhere
async def test_a_holder_in_a_gap_is_known_by_its_site_statement_and_backend(store: Store) -> None:
    async with store.make(pool_size=2) as database, held(database, in_a_gap, is_in_a_gap) as holder:
        assert holder.task == "the holder"
        assert holder.site == line_of(in_a_gap, "# the checkout")
        assert holder.awaiting[-2] == line_of(in_a_gap, "# the gap")
        assert holder.awaiting[0].startswith("observe/test_holders.py")
        assert holder.statement == "SELECT id FROM note WHERE body = ?"
        assert holder.statements == 2
        assert holder.in_sql is False
        assert holder.state_seconds is not None
        assert 0.01 < holder.state_seconds < holder.seconds
        assert holder.in_transaction is not False
        assert [holder.backend] == backends(store)
        assert not holder.finished


@everywhere
async def test_a_holder_whose_statement_runs_is_in_sql(store: Store) -> None:
    async def in_sql(session: AsyncSession) -> None:
        await session.execute(text(store.sleep(10)))

    # MariaDB notices only after a statement that its client is gone.
    store.server.may_leave_backends = True
    async with store.make(pool_size=2) as database, held(database, in_sql, is_in_sql) as holder:
        assert holder.in_sql
        assert holder.state_seconds is not None
        assert 0.02 < holder.state_seconds <= holder.seconds
        assert holder.statements == 1
        assert holder.statement is not None
        assert "sleep(?)" in holder.statement


@everywhere
async def test_what_of_a_hold_was_spent_in_sql_is_told_apart_from_the_rest(store: Store) -> None:
    async with store.make(pool_size=2) as database:
        async with database.session() as session:
            await session.execute(text(store.sleep(0.15)))
            began = time.monotonic()
            await asyncio.sleep(0.3)
            pause = time.monotonic() - began
        timings = database.snapshot().timings
        assert (timings.holds.count, timings.in_sql.count, timings.gaps.count) == (1, 1, 1)
        assert 0.15 <= timings.in_sql.total <= timings.holds.total - pause
        assert timings.gaps.total >= pause
        assert timings.in_sql.total + timings.gaps.total == pytest.approx(timings.holds.total)


@on(*POSTGRESQL)
async def test_the_line_that_calls_another_service_is_named(store: Store) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"

    async def calls_out(session: AsyncSession) -> None:
        await session.execute(SELECT)
        async with httpx.AsyncClient() as client:
            await client.get(url)  # the call

    def is_calling(holder: Holder) -> bool:
        return any(line.startswith("httpx/_client.py") for line in holder.awaiting)

    async with listening, store.make(pool_size=2) as database, held(database, calls_out, is_calling) as holder:
        assert line_of(calls_out, "# the call") in holder.awaiting
        assert is_calling(holder)


@on(*POSTGRESQL)
async def test_synchronous_code_inside_a_session_is_named(store: Store) -> None:
    def inside(session: object) -> None:
        session.execute(text("SELECT pg_sleep(5)"))  # the statement

    async def runs_sync(session: AsyncSession) -> None:
        await session.run_sync(inside)

    async with store.make(pool_size=2) as database, held(database, runs_sync, is_in_sql) as holder:
        assert holder.site == line_of(inside, "# the statement")
        assert holder.site in holder.awaiting


@on(*POSTGRESQL)
async def test_a_finished_task_that_kept_its_connection_is_seen(store: Store) -> None:
    async with store.make(pool_size=2) as database:
        kept: list[AsyncConnection] = []

        async def forget() -> None:
            connection = await database.engine.connect()
            kept.append(connection)
            await connection.execute(SELECT)

        await asyncio.create_task(forget(), name="forgetful")
        (holder,) = database.snapshot().holders
        assert holder.finished
        assert (holder.task, holder.awaiting) == ("forgetful", ())
        assert holder.site is not None
        assert holder.site.endswith("in forget")
        await kept.pop().close()


@everywhere
async def test_a_nested_checkout_is_seen_while_it_waits(store: Store) -> None:
    async with store.make(pool_size=1, max_overflow=0, pool_timeout=5) as database:

        async def audit() -> None:
            async with database.session() as session:
                await session.execute(SELECT)  # the wait

        async def outer(session: AsyncSession) -> None:
            await session.execute(SELECT)  # the checkout
            await audit()

        def is_nested(holder: Holder) -> bool:
            return holder.waits_at is not None and (database.snapshot().oldest_waiter or 0) > 0.01

        reported: list[Holder] = []
        _ = database.engine
        database._engines.pooled[0].observed.nesting.on_nested = reported.append
        async with held(database, outer, is_nested) as holder:
            assert holder.site == line_of(outer, "# the checkout")
            assert holder.waits_at == line_of(audit, "# the wait")
            assert [(each.site, each.waits_at) for each in reported] == [(holder.site, holder.waits_at)]
            snapshot = database.snapshot()
            assert snapshot.waiting == 1
            assert snapshot.oldest_waiter is not None
            assert snapshot.oldest_waiter > 0.01
            assert (snapshot.nested.waited, snapshot.nested.refused) == (1, {})
            assert snapshot.nested.latest == reported[0]


@everywhere
async def test_a_nested_checkout_that_is_refused_is_remembered_with_both_lines(store: Store) -> None:
    async with store.make(pool_size=1, max_overflow=0, pool_timeout=5) as database:

        async def audit() -> None:
            async with database.session() as session:
                await session.execute(SELECT)  # the refusal

        async def outer() -> None:
            current_caller.set(Caller())
            async with database.session() as session:
                await session.execute(SELECT)  # the checkout
                await audit()

        reported: list[Holder] = []
        _ = database.engine
        database._engines.pooled[0].observed.nesting.on_nested = reported.append
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(PoolSaturated):
                await asyncio.create_task(outer(), name="the auditor")
        nested = database.snapshot().nested
        assert nested.refused == database.snapshot().totals.refusals == {"nobody-returns": 3}
        assert nested.waited == 0
        assert began <= nested.at <= time.monotonic()
        assert nested.latest is not None
        assert nested.latest.task == "the auditor"
        assert nested.latest.site == line_of(outer, "# the checkout")
        assert nested.latest.waits_at == line_of(audit, "# the refusal")
        assert len(reported) == 3
        assert reported[-1] == nested.latest


@on(POSTGRESQL[0])
async def test_who_is_refused_and_holds_nothing_is_not_nested(store: Store) -> None:
    async with store.make(pool_size=1, max_overflow=0, max_waiting=0) as database:

        async def ask() -> None:
            async with database.session() as session:
                await session.execute(SELECT)

        async with held(database, in_a_gap, is_in_a_gap):
            with pytest.raises(PoolSaturated):
                await asyncio.create_task(ask())
            snapshot = database.snapshot()
            assert snapshot.totals.refusals == {"max-waiting": 1}
            assert snapshot.nested == NestedCheckouts()


@on(*POSTGRESQL)
async def test_who_waits_and_holds_nothing_is_not_nested(store: Store) -> None:
    async with store.make(pool_size=1, max_overflow=0) as database:

        async def wait() -> None:
            async with database.session() as session:
                await session.execute(SELECT)

        async with held(database, in_a_gap, is_in_a_gap):
            task = asyncio.create_task(wait())
            await asyncio.sleep(0.05)
            (holder,) = database.snapshot().holders
            assert (holder.waits_at, database.snapshot().waiting) == (None, 1)
        await task


@on(*POSTGRESQL)
async def test_rows_that_are_fetched_bit_by_bit_are_a_stream_until_the_end(store: Store) -> None:
    async with store.make(pool_size=1) as database, database.engine.connect() as connection:
        async with connection.stream(text("SELECT generate_series(1, 5000)")) as result:
            await result.fetchmany(10)
            (holder,) = database.snapshot().holders
            assert holder.streams
            assert holder.in_sql is False
        (holder,) = database.snapshot().holders
        assert not holder.streams


@on(POSTGRESQL[0])
async def test_a_commit_counts_as_sql(store: Store) -> None:
    store.server.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(10); RETURN NULL; END$$;"
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION slow()"
    )

    async def commits(session: AsyncSession) -> None:
        await session.execute(text("INSERT INTO note VALUES (1, 'a')"))
        await session.commit()

    def is_committing(holder: Holder) -> bool:
        return holder.statement == "COMMIT"

    async with store.make(pool_size=1) as database, held(database, commits, is_committing) as holder:
        assert (holder.in_sql, holder.statement, holder.statements) == (True, "COMMIT", 1)


@on(POSTGRESQL[1])
def test_a_thread_is_a_holder_like_a_task(store: Store) -> None:
    database = store.make(pool_size=1, max_overflow=0)
    may_end, holds = threading.Event(), threading.Event()

    def hold() -> None:
        with database.sync_session() as session:
            session.execute(SELECT)  # the checkout
            holds.set()
            may_end.wait(5)  # the gap

    thread = threading.Thread(target=hold, name="worker 1")
    thread.start()
    try:
        assert holds.wait(5)
        (holder,) = database.snapshot().holders
        assert (holder.task, holder.site) == ("worker 1", line_of(hold, "# the checkout"))
        assert line_of(hold, "# the gap") in holder.awaiting
        assert (holder.in_sql, holder.in_transaction, holder.finished) == (False, True, False)
        assert [holder.backend] == backends(store)
    finally:
        may_end.set()
        thread.join()
        database.sync_engine.dispose()
