"""What is MySQL's own: its timeout of idle connections, its round trips, its errors, its kills and restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiomysql
import pytest
from sqlalchemy import exc, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from tests.database.stores import BLOCKING, MARIADB, TABLE, Store, on
from tests.database.test_commit_unknown import INSERT, kill
from tests.servers import MariaDB

from poolkeeper import ConnectFailed, ConnectFailure, Database
from poolkeeper.drivers import Evidence, driver_of, evidence_of, retry_reason
from poolkeeper.fastapi.problems import problem_of
from poolkeeper.model import CloseReason, RetryReason

pytestmark = pytest.mark.anyio
SELECT = text("SELECT count(*) FROM note")
# CLIENT_INTERACTIVE of the protocol.
INTERACTIVE = 1024
drivers = pytest.mark.parametrize("driver", ["aiomysql", pytest.param("asyncmy", marks=pytest.mark.slow)])


@contextmanager
def set_globally(store: Store, **values: object) -> Iterator[None]:
    """Values of global variables for sessions that are opened meanwhile."""
    before = {name: store.server.query(f"SELECT @@GLOBAL.{name}")[0][0] for name in values}
    set_all(store, values)
    try:
        yield
    finally:
        set_all(store, before)


def set_all(store: Store, values: dict[str, Any]) -> None:
    for name, value in values.items():
        shown = repr(value) if str(value).isalpha() else value
        store.server.execute(f"SET GLOBAL {name} = {shown}")


# The timeout of idle connections


@on(*MARIADB)
async def test_each_connection_knows_when_the_server_would_end_it(store: Store) -> None:
    # With such cursors of asyncmy SQLAlchemy itself cannot connect.
    cursors = {"cursorclass": aiomysql.DictCursor} if store.kind.driver == "aiomysql" else {}
    for flags, seconds in ((0, 1234), (INTERACTIVE, 56)):
        with set_globally(store, wait_timeout=1234, interactive_timeout=56):
            given = {"client_flag": flags, **cursors}
            async with store.make(connect_args=given) as database, database.engine.connect() as one:
                raw = (await one.get_raw_connection()).driver_connection
                assert driver_of(database.engine.dialect).idle_cut_of(raw) == seconds


async def all_at_once(engine: AsyncEngine, count: int) -> list[BaseException | int]:
    """What so many callers get who have a connection each."""
    everybody = asyncio.Barrier(count)

    async def one() -> int:
        async with engine.connect() as connection:
            try:
                return int((await connection.execute(SELECT)).scalar_one())
            finally:
                await everybody.wait()

    return await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)


@pytest.mark.slow
@on(*MARIADB)
async def test_connections_outlive_the_servers_patience_with_idle_ones(store: Store) -> None:
    stock = create_async_engine(store.url, pool_size=3)
    async with store.make(pool_size=3) as database:
        # While the service runs: what is open by then keeps the old timeout.
        with set_globally(store, wait_timeout=1):
            assert [*await all_at_once(database.engine, 3), *await all_at_once(stock, 3)] == [0] * 6
            await asyncio.sleep(2.2)
            assert await all_at_once(database.engine, 3) == [0] * 3
            assert any(isinstance(answer, exc.OperationalError) for answer in await all_at_once(stock, 3))
        assert database.snapshot().opened == 3
        assert database.snapshot().closed == {}
    await stock.dispose()


@pytest.mark.slow
@on(*MARIADB)
async def test_without_keepalive_they_are_closed_before_the_server_does(store: Store) -> None:
    with set_globally(store, wait_timeout=2):
        async with store.make(pool_size=3, keepalive=None, ping_after=60) as database:
            assert await all_at_once(database.engine, 3) == [0] * 3
            await asyncio.sleep(3)
            assert database.snapshot().closed == {CloseReason.IDLE: 3}
            assert await all_at_once(database.engine, 3) == [0] * 3


@pytest.mark.slow
@on(BLOCKING[1])
async def test_threads_get_no_connection_that_the_server_is_about_to_end(store: Store) -> None:
    def ask() -> int:
        with database.sync_read_session() as session:
            return int(session.scalar(SELECT) or 0)

    with set_globally(store, wait_timeout=1):
        async with store.make(ping_after=60) as database:
            for pause in (0, 0.4, 0.7, 1.3):
                await asyncio.sleep(pause)
                assert await asyncio.to_thread(ask) == 0


# Round trips


@contextmanager
def listening(store: Store) -> Iterator[list[str]]:
    """What the server is told meanwhile by the sessions on this database, statement by statement."""
    said: list[str] = []
    store.server.execute("TRUNCATE mysql.general_log")
    with set_globally(store, log_output="TABLE", general_log=1):
        ids = ",".join(map(str, store.connections())) or "0"
        yield said
    heard = f"FROM mysql.general_log WHERE command_type = 'Query' AND thread_id IN ({ids}) ORDER BY event_time"
    said += [row[0] for row in store.server.query(f"SELECT CONVERT(argument USING utf8mb4) {heard}")]


async def stock_session(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(SELECT)


@on(*MARIADB)
async def test_a_session_tells_the_server_nothing_twice(store: Store) -> None:
    stock = create_async_engine(store.url, pool_size=1)
    autocommit = stock.execution_options(isolation_level="AUTOCOMMIT")
    for engine in (stock, autocommit):
        await stock_session(engine)
        with listening(store) as said:
            await stock_session(engine)
        assert len(said) == (3 if engine is stock else 7), said
    await stock.dispose()
    async with store.make(pool_size=1, min_idle=1) as database:
        with listening(store) as read:
            async with database.read_session() as session:
                await session.execute(SELECT)
        with listening(store) as written:
            async with database.session() as session:
                await session.execute(INSERT, {"id": 1})
    assert read == ["SELECT count(*) FROM note", "ROLLBACK"]
    assert written == ["INSERT INTO note VALUES (1, 'x')", "COMMIT"]


@on(*MARIADB)
async def test_the_statements_of_a_read_session_see_one_moment(store: Store) -> None:
    async with store.make() as database:
        async with database.read_session() as session:
            assert await session.scalar(SELECT) == 0
            store.server.execute("INSERT INTO note VALUES (1, 'x')")
            assert await session.scalar(SELECT) == 0
        async with database.read_session() as session:
            assert await session.scalar(SELECT) == 1


@on(*MARIADB)
@pytest.mark.parametrize("how", ["cursor", "query", "failing"])
async def test_what_was_done_past_sqlalchemy_is_rolled_back_all_the_same(store: Store, how: str) -> None:
    async with store.make(pool_size=1) as database:
        async with database.engine.connect() as connection:
            await connection.execute(SELECT)
            await connection.rollback()
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await insert_past_sqlalchemy(raw, how)
        async with database.engine.begin() as connection:
            assert (await connection.execute(SELECT)).scalar_one() == 0
        store.assert_conserved(database)
    assert store.rows() == 0


@on(*MARIADB)
async def test_a_detached_connection_commits_and_rolls_back(store: Store) -> None:
    async with store.make() as database, database.engine.connect() as connection:
        await connection.run_sync(lambda sync: sync.detach())
        for number, end in ((1, connection.commit), (2, connection.rollback)):
            await connection.execute(INSERT, {"id": number})
            await end()
    assert store.rows() == 1


async def insert_past_sqlalchemy(raw: Any, how: str) -> None:
    sql = "INSERT INTO note VALUES (1, 'x')"
    if how == "query":
        await raw.query(sql)
        return
    async with raw.cursor() as cursor:
        await cursor.execute(sql)
        if how == "failing":
            with pytest.raises(Exception, match="Duplicate"):
                await cursor.execute(sql)


# Errors


@on(*MARIADB)
async def test_a_server_that_takes_no_writes_is_left_and_the_work_done_later(store: Store) -> None:
    user = f"writer_{store.server.name}"
    store.server.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'secret'")
    store.server.execute(f"GRANT ALL ON {store.server.name}.* TO {user}@'127.0.0.1'")
    url = make_url(store.url).set(username=user, password="secret")
    async with Database(url, min_idle=0, retry_attempts=50) as database:
        with set_globally(store, read_only=1):
            with pytest.raises(exc.DBAPIError) as refused:
                async with database.session() as session:
                    await session.execute(INSERT, {"id": 1})
            assert evidence_of(refused.value) is Evidence.READ_ONLY
            assert retry_reason(refused.value) is RetryReason.READ_ONLY
            async with asyncio.timeout(10):
                while database.snapshot().closed != {CloseReason.SQLSTATE: 1}:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.01)
            later = asyncio.create_task(database.run(insert, 1))
            await asyncio.sleep(0.05)
            assert not later.done()
        await later
    assert store.rows() == 1
    store.server.execute(f"DROP USER {user}@'127.0.0.1'")


async def insert(session: AsyncSession, number: int) -> None:
    await session.execute(INSERT, {"id": number})


def error_of(number: int, text: str = "") -> exc.DBAPIError:
    """As SQLAlchemy raises what the server or the driver answers to a statement."""
    is_lost = number in {1053, 1927, 2006, 2013, 4031}
    return exc.OperationalError("SELECT 1", {}, Exception(number, text), connection_invalidated=is_lost)


@pytest.mark.parametrize(
    ("numbers", "evidence", "retried", "problem"),
    [
        ((2006, 2013, 4031, 1927, 1053), Evidence.GONE, RetryReason.DISCONNECT, "connection-lost"),
        ((1836,), Evidence.READ_ONLY, RetryReason.READ_ONLY, None),
        ((1205,), None, RetryReason.LOCK_TIMEOUT, None),
        ((1213,), None, RetryReason.DEADLOCK, None),
        ((1969, 3024), None, None, "statement-timeout"),
        ((1062,), None, None, None),
    ],
    ids=str,
)
def test_what_the_guide_says_of_errors(
    numbers: tuple[int, ...], evidence: Evidence | None, retried: RetryReason | None, problem: str | None
) -> None:
    for error in map(error_of, numbers):
        told = problem_of(error)
        assert evidence_of(error) is evidence
        assert retry_reason(error) is retried
        assert (None if told is None else told.kind) == problem


@on(*MARIADB)
async def test_a_killed_connection_is_told_as_lost(store: Store) -> None:
    async with store.make() as database:
        with pytest.raises(exc.DBAPIError) as lost:
            async with database.session() as session:
                await kill(session, store)
                await session.execute(INSERT, {"id": 1})
        assert evidence_of(lost.value) is Evidence.GONE
        assert retry_reason(lost.value) is RetryReason.DISCONNECT
        problem = problem_of(lost.value)
        assert problem is not None
        assert problem.kind == "connection-lost"
        store.assert_conserved(database)


# Kills and restarts

MOVE = text("UPDATE note SET body = CAST(body AS int) + :sum WHERE id = :id")
ACCOUNTS = 6


async def move(session: AsyncSession, number: int) -> None:
    """One unit of money from an account to another one, and a receipt that can be written only once."""
    await session.execute(text("INSERT INTO receipt VALUES (:number)"), {"number": number})
    for account, money in ((number % ACCOUNTS, -1), ((number + 1) % ACCOUNTS, 1)):
        await session.execute(MOVE, {"id": account, "sum": money})


@pytest.mark.slow
@on(*MARIADB)
async def test_kills_at_any_moment_lose_no_money_and_fail_no_reader(store: Store) -> None:
    store.server.execute("CREATE TABLE receipt (number int PRIMARY KEY)")
    store.server.execute("INSERT INTO note VALUES " + ", ".join(f"({n}, '100')" for n in range(ACCOUNTS)))
    killed = 0

    async def receipt_of(session: AsyncSession, number: int) -> bool:
        return bool(await session.scalar(text("SELECT 1 FROM receipt WHERE number = :number"), {"number": number}))

    async with store.make(pool_size=4, retry_attempts=50, retry_budget=0.99) as database:
        moved = database.transactional(applied=receipt_of)(move)
        moving = asyncio.create_task(in_turns(moved, 200))
        while not moving.done():
            # Idle ones and those in the middle of something, as they come.
            killed += await asyncio.to_thread(store.server.kill_connections)
            async with database.read_session() as session:
                assert await session.scalar(SELECT) == ACCOUNTS
            await asyncio.sleep(0.02)
        await moving
        store.assert_conserved(database)
    assert killed > 10
    assert store.server.query("SELECT sum(body), count(DISTINCT number) FROM note, receipt")[0][1] == "200"
    assert store.server.query("SELECT sum(body) FROM note") == [(str(100 * ACCOUNTS),)]


async def in_turns(work: Any, count: int) -> None:
    for first in range(0, count, 4):
        await asyncio.gather(*(work(number) for number in range(first, first + 4)))


@pytest.mark.slow
@drivers
async def test_a_restart_costs_time_and_no_writes(own_mariadb: MariaDB, driver: str) -> None:
    own_mariadb.execute(f"CREATE DATABASE notes; USE notes; {TABLE}")
    url = own_mariadb.url(driver, "notes")
    async with Database(url, pool_size=4, min_idle=4, connect_grace=60, pool_timeout=60) as database:
        insert_all = database.transactional(attempts=100, deadline=60)(insert)
        assert database.snapshot().idle == 4
        await asyncio.to_thread(own_mariadb.kill)
        writing = asyncio.gather(*(insert_all(number) for number in range(8)))
        await asyncio.sleep(0.2)
        assert not writing.done()
        await asyncio.to_thread(own_mariadb.start)
        await writing
        async with database.read_session() as session:
            assert await session.scalar(SELECT) == 8
        ends = time.monotonic() + 20
        while database.snapshot().idle < 4:
            assert time.monotonic() < ends
            await asyncio.sleep(0.05)


@pytest.mark.slow
@drivers
async def test_a_full_server_is_told_as_one(own_mariadb: MariaDB, driver: str) -> None:
    own_mariadb.execute("SET GLOBAL max_connections = 10; CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app'")
    url = make_url(own_mariadb.url(driver)).set(username="app", password="app")
    async with Database(url, pool_size=12, min_idle=0, connect_grace=0, pool_timeout=1) as database:
        connections = [await database.engine.connect() for _ in range(10)]
        with pytest.raises((ConnectFailed, exc.TimeoutError)) as full:
            await database.engine.connect()
        failure = full.value if isinstance(full.value, ConnectFailed) else full.value.__cause__
        assert isinstance(failure, ConnectFailed)
        assert failure.reason is ConnectFailure.TOO_MANY_CONNECTIONS
        for connection in connections:
            await connection.close()
