"""A transaction runs again where nothing of it was committed, as often as allowed, and never else."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable

import anyio
import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on
from tests.database.test_commit_unknown import INSERT, kill
from tests.servers import PgBouncer

from poolkeeper import CommitUnknown, ConnectFailed, Database
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.anyio
CHANGE = text("UPDATE note SET body = :body WHERE id = :id")
NUMBER = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}


def retried(database: Database) -> dict[str, int]:
    retries = database.snapshot().retries
    assert retries is not None
    return dict(retries.retried)


@on(*POSTGRESQL, *MARIADB)
async def test_a_connection_killed_in_the_middle_costs_nothing_but_time(store: Store) -> None:
    sessions: list[AsyncSession] = []

    async def work(session: AsyncSession, number: int, *, body: str) -> str:
        sessions.append(session)
        await session.execute(INSERT, {"id": number})
        if len(sessions) == 1:
            await kill(session, store)
        await session.execute(CHANGE, {"id": number, "body": body})
        return body

    async with store.make() as database:
        assert await database.run(work, 1, body="changed") == "changed"
        assert len(sessions) == 2
        assert sessions[0] is not sessions[1]
        assert retried(database) == {"disconnect": 1}
        assert store.rows() == 1
        store.assert_conserved(database)


@on(*POSTGRESQL, *MARIADB)
async def test_both_sides_of_a_deadlock_get_through(store: Store) -> None:
    store.server.execute("INSERT INTO note VALUES (1, 'x'), (2, 'x')")
    both_hold_one = asyncio.Barrier(2)
    attempts = 0

    async def work(session: AsyncSession, first: int, second: int) -> None:
        nonlocal attempts
        attempts += 1
        if store.kind.place == "postgresql":
            await session.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
        await session.execute(CHANGE, {"id": first, "body": f"by {first}"})
        if attempts <= 2:
            await both_hold_one.wait()
        await session.execute(CHANGE, {"id": second, "body": f"by {first}"})

    async with store.make() as database:
        await asyncio.gather(database.run(work, 1, 2), database.run(work, 2, 1))
        assert retried(database) == {"deadlock": 1}
        assert attempts == 3


@on(*POSTGRESQL)
async def test_a_serialization_failure_runs_again_with_what_is_there_then(store: Store) -> None:
    store.server.execute("INSERT INTO note VALUES (1, '0')")
    both_have_read = asyncio.Barrier(2)
    attempts = 0

    async def count_up(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        before = int(await session.scalar(text("SELECT body FROM note WHERE id = 1")))
        if attempts <= 2:
            await both_have_read.wait()
        await session.execute(CHANGE, {"id": 1, "body": str(before + 1)})

    async with store.make() as database:
        await asyncio.gather(database.run(count_up), database.run(count_up))
        assert retried(database) == {"serialization": 1}
    assert store.server.query("SELECT body FROM note") == [("2",)]


@pytest.mark.slow
@on(*MARIADB)
async def test_after_a_lock_timeout_nothing_of_the_attempt_is_left(store: Store) -> None:
    store.server.execute("INSERT INTO note VALUES (1, 'x')")
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute(text("SET innodb_lock_wait_timeout = 1"))
        await session.execute(INSERT, {"id": 10 + attempts})
        if attempts == 2:
            await locking.rollback()
        await session.execute(CHANGE, {"id": 1, "body": "changed"})

    async with store.make() as database, database.engine.connect() as locking:
        await locking.execute(CHANGE, {"id": 1, "body": "locked"})
        await database.run(work)
        assert retried(database) == {"lock-timeout": 1}
    assert store.rows() == 2


@pytest.mark.slow
@on(*POSTGRESQL)
async def test_a_server_that_refuses_is_asked_again(store: Store, proxy: FaultProxy) -> None:
    settings = {"min_idle": 0, "connect_grace": 0, "retry_attempts": 50}
    async with Database(proxy.url(store.url), **settings) as database:  # type: ignore[arg-type]
        proxy.refuse()
        asyncio.get_running_loop().call_later(0.3, proxy.heal)
        await database.transactional(deadline=20)(insert_one)()
        assert set(retried(database)) == {"unreachable"}
        assert store.rows() == 1
        proxy.reset()


async def insert_one(session: AsyncSession) -> int:
    await session.execute(INSERT, {"id": 1})
    return 1


@pytest.mark.slow
@on(*POSTGRESQL)
async def test_a_pooler_that_restarts_in_the_middle(store: Store, pgbouncer: Callable[..., PgBouncer]) -> None:
    pooler = pgbouncer(pool_mode="transaction")
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute(INSERT, {"id": 1})
        if attempts == 1:
            await asyncio.to_thread(pooler.stop)
            await asyncio.to_thread(pooler.start)
        await session.execute(CHANGE, {"id": 1, "body": "changed"})

    url = pooler.url(store.kind.driver, store.server.name)
    async with Database(url, provider="pgbouncer-transaction", min_idle=0) as database:
        await database.run(work)
        assert attempts == 2
    pooler.stop()
    assert store.rows() == 1


@on(POSTGRESQL[0])
@pytest.mark.parametrize("error", [ValueError("no"), exc.IntegrityError("", {}, Exception("23505"))])
async def test_any_other_error_ends_it_at_once(store: Store, error: Exception) -> None:
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute(INSERT, {"id": 1})
        raise error

    async with store.make() as database:
        with pytest.raises(type(error)):
            await database.run(work)
        assert (attempts, store.rows()) == (1, 0)


@on(POSTGRESQL[0])
@pytest.mark.parametrize("how", ["commit", "autocommit", "savepoint"])
async def test_what_has_stayed_is_not_done_twice(store: Store, how: str) -> None:
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        if how == "autocommit":
            await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        if how == "savepoint":
            async with session.begin_nested():
                await session.execute(INSERT, {"id": attempts})
        else:
            await session.execute(INSERT, {"id": attempts})
        if how == "commit":
            await session.commit()
        if attempts == 1:
            await kill(session, store)
        await session.execute(text("SELECT 1"))

    async with store.make() as database:
        if how == "savepoint":
            await database.run(work)
            assert attempts == 2
        else:
            with pytest.raises(exc.DBAPIError):
                await database.run(work)
            assert attempts == 1
        assert store.rows() == 1


@on(POSTGRESQL[0])
async def test_the_last_error_says_why_it_was_the_last(store: Store) -> None:
    async def work(_session: AsyncSession) -> None:
        raise exc.OperationalError("", {}, Exception(1213, "Deadlock found"))

    async with store.make(retry_attempts=3) as database:
        with pytest.raises(exc.OperationalError) as last:
            await database.run(work)
        assert last.value.__notes__ == ["Not tried again after attempt 3: there are no more attempts."]
        with pytest.raises(exc.OperationalError) as first:
            await database.transactional(attempts=1)(work)()
        assert "after attempt 1" in first.value.__notes__[0]
        with pytest.raises(exc.ArgumentError):
            database.transactional(attempts=0)


@on(POSTGRESQL[0])
async def test_a_used_up_budget_lets_errors_through_and_is_logged_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(_session: AsyncSession) -> None:
        raise exc.OperationalError("", {}, Exception(1213, "Deadlock found"))

    async with store.make(retry_budget=0, retry_attempts=3) as database:
        with caplog.at_level(logging.WARNING, "poolkeeper.retry"):
            await asyncio.gather(*(database.run(work) for _ in range(80)), return_exceptions=True)
        retries = database.snapshot().retries
        assert retries is not None
        assert (retries.transactions, retries.retried) == (80, {"deadlock": 100})
        assert retries.refused > 0
    (line,) = [record for record in caplog.records if record.name == "poolkeeper.retry"]
    assert (line.__dict__["event"], line.__dict__["pool"]) == ("retry_budget_exhausted", "default")


@pytest.mark.slow
@on(*POSTGRESQL, *MARIADB)
async def test_a_deadline_holds_on_a_silent_network(store: Store, proxy: FaultProxy) -> None:
    async def silent(session: AsyncSession) -> None:
        await session.execute(INSERT, {"id": 1})
        proxy.drop()
        await session.execute(text("SELECT 1"))

    async def silent_commit(session: AsyncSession) -> None:
        await session.execute(INSERT, {"id": 1})
        proxy.drop()

    async with Database(proxy.url(store.url), min_idle=0) as database:
        for work, error in ((silent, TimeoutError), (silent_commit, CommitUnknown)):
            began = time.monotonic()
            with pytest.raises(error):
                await database.transactional(deadline=0.3)(work)()
            assert time.monotonic() - began < 5
            assert database.snapshot().in_use == 0
            proxy.reset()
            proxy.heal()


@pytest.mark.slow
@on(POSTGRESQL[0])
async def test_no_wait_goes_beyond_the_deadline(store: Store, proxy: FaultProxy) -> None:
    async with Database(proxy.url(store.url), min_idle=0, connect_grace=0, retry_attempts=100) as database:
        proxy.refuse()
        began = time.monotonic()
        with pytest.raises((ConnectFailed, TimeoutError)):
            await database.transactional(deadline=0.5)(insert_one)()
        assert time.monotonic() - began < 5
        # One that waits for something else is ended too.
        with pytest.raises(TimeoutError, match="its deadline"):
            await database.transactional(deadline=0.1)(sleep_long)()


async def sleep_long(_session: AsyncSession) -> None:
    await asyncio.sleep(60)


@on(POSTGRESQL[0])
async def test_a_cancellation_is_neither_swallowed_nor_tried_again(store: Store) -> None:
    attempts = 0

    async def work(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute(text("SELECT pg_sleep(60)"))

    async with store.make() as database:
        task = asyncio.create_task(database.run(work))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with anyio.move_on_after(0.1) as scope:
            await database.transactional(deadline=30)(sleep_long)()
        assert scope.cancelled_caught
        assert attempts == 1
        store.assert_conserved(database)


@on(*BLOCKING)
async def test_the_same_on_threads(store: Store) -> None:
    attempts = 0

    def work(session: Session, number: int) -> int:
        nonlocal attempts
        attempts += 1
        session.execute(INSERT, {"id": number})
        if attempts == 1:
            mine = session.scalar(text(NUMBER[store.kind.place]))
            if store.kind.place == "postgresql":
                store.server.terminate_backends(f"pid = {mine}")
            else:
                store.server.kill_connections(f"id = {mine}")
        session.execute(CHANGE, {"id": number, "body": "changed"})
        return attempts

    async with store.make() as database:
        assert await asyncio.to_thread(database.sync_run, work, 1) == 2
        assert retried(database) == {"disconnect": 1}
        again = database.sync_transactional(deadline=10, applied=lambda _session, _number: True)(work)
        assert await asyncio.to_thread(again, 2) == 3
        assert store.rows() == 2


@on(POSTGRESQL[0])
async def test_a_decorated_function_takes_what_its_callers_give(store: Store) -> None:
    database = store.make()

    @database.transactional()
    async def rename(session: AsyncSession, note_id: int, body: str = "x") -> None:
        """Rename it."""

    assert (rename.__name__, rename.__doc__) == ("rename", "Rename it.")
    assert list(inspect.signature(rename).parameters) == ["note_id", "body"]
