"""Through a real PgBouncer, whose every transaction may run on another server connection."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import exc, text
from tests.servers import FreshDatabase, PgBouncer

from poolkeeper import ConnectFailed, ConnectFailure, Database, SettingsRefused
from poolkeeper.drivers import retry_reason
from poolkeeper.fastapi.problems import Problem, problem_of

MakePooler = Callable[..., PgBouncer]
drivers = pytest.mark.parametrize("driver", ["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])

SELECT = text("SELECT 1")
BACKEND = text("SELECT pg_backend_pid()")
# Four tasks, each with so many transactions to write and as many to read; then what one connection has prepared.
WORK = """
import asyncio, sys
from sqlalchemy import text
from poolkeeper import Database

url, mode, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
KEPT = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT CAST%'")

async def main():
    async with Database(url, provider=f"pgbouncer-{mode}", pool_size=3) as database:
        async def work(task):
            for number in range(count):
                async with database.session() as session:
                    total = await session.scalar(text("SELECT CAST(:n AS int) + :m"), {"n": number, "m": task})
                    assert total == number + task
                async with database.read_session() as session:
                    assert await session.scalar(text("SELECT CAST(:n AS int)"), {"n": number}) == number
        async with asyncio.TaskGroup() as group:
            for task in range(4):
                group.create_task(work(task))
        async with database.read_session() as session:
            print(await session.scalar(KEPT))

asyncio.run(main())
"""


def prepared_by(processes: int, url: str, mode: str, count: int) -> list[int]:
    """How many statements a connection of each process has prepared after all of them have worked at the same time."""
    command = [sys.executable, "-W", "error", "-c", WORK, url, mode, str(count)]
    workers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    results = [worker.communicate(timeout=200) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * processes, results
    return [int(said) for said, _ in results]


async def statements_left(url: str, mode: str) -> int:
    left = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT CAST%'")
    async with Database(url, provider=f"pgbouncer-{mode}") as database, database.read_session() as session:
        return int((await session.execute(left)).scalar_one())


@pytest.mark.slow
@drivers
def test_transaction_mode_serves_several_processes_and_leaves_no_statement(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    fresh_database.may_leave_backends = True
    url = pgbouncer(default_pool_size=3).url(driver, fresh_database.name)
    # 10,016 transactions.
    assert prepared_by(4, url, "transaction", 313) == [0] * 4
    assert asyncio.run(statements_left(url, "transaction")) == 0


@pytest.mark.slow
@drivers
def test_session_mode_serves_several_processes_keeps_statements_and_leaves_none(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    fresh_database.may_leave_backends = True
    # As many server connections as clients.
    url = pgbouncer("session", default_pool_size=8).url(driver, fresh_database.name)
    assert prepared_by(2, url, "session", 60) == [2] * 2
    assert asyncio.run(statements_left(url, "session")) == 0
    assert not fresh_database.activity("state <> 'idle'")


@pytest.mark.parametrize(
    "settings",
    [
        {"statement_timeout": 5},
        {"connect_args": {"server_settings": {"jit": "off"}}},
        {"connect_args": {"server_settings": {"search_path": "orders"}}},
    ],
)
def test_settings_that_the_pooler_would_refuse_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsRefused, match="pooler-refuses-parameter"):
        Database("postgresql+asyncpg://u@h/db", provider="pgbouncer-transaction", **settings)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["transaction", "session"])
@drivers
async def test_a_queue_in_the_pooler_that_lasts_too_long_is_told_as_that(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str, mode: str
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer(mode, default_pool_size=1, query_wait_timeout=0.3)
    async with Database(
        pooler.url(driver, fresh_database.name), provider=f"pgbouncer-{mode}", min_idle=0, look_at_server=False
    ) as database:
        async with database.session() as holder:
            await holder.execute(SELECT)
            with pytest.raises(exc.DBAPIError) as waited:
                async with database.session() as session:
                    await session.execute(SELECT)
            assert problem_of(waited.value) == Problem(
                "pooler-timeout", "The pooler had no database connection to give in time.", 1
            )
            # One more would make the queue longer.
            assert retry_reason(waited.value) is None
        async with database.session() as session:
            assert await session.scalar(SELECT) == 1
        assert database.snapshot().in_use == 0


@pytest.mark.anyio
@drivers
async def test_a_queue_in_the_pooler_brings_nobody_elses_connection_into_doubt(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("session", default_pool_size=1, query_wait_timeout=0.3)
    async with Database(
        pooler.url(driver, fresh_database.name),
        provider="pgbouncer-session",
        min_idle=0,
        ping_after=60,
        look_at_server=False,
    ) as database:
        pings: list[object] = []
        dialect = database.engine.sync_engine.dialect
        ping = dialect.do_ping
        monkeypatch.setattr(dialect, "do_ping", lambda dbapi: pings.append(dbapi) or ping(dbapi))

        async def backend() -> int:
            async with database.session() as session:
                return int(await session.scalar(BACKEND))

        async with database.session() as holder:
            its_own = await holder.scalar(BACKEND)
            waiting = asyncio.create_task(backend())
            async with asyncio.timeout(5):
                while database.snapshot().in_use < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        with pytest.raises(exc.DBAPIError):
            await waiting
        assert await backend() == its_own
        assert not pings


def test_nor_in_a_pool_for_threads(fresh_database: FreshDatabase, pgbouncer: MakePooler) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("session", default_pool_size=1, query_wait_timeout=0.3)
    database = Database(
        pooler.url("psycopg", fresh_database.name), provider="pgbouncer-session", min_idle=0, look_at_server=False
    )
    with database.sync_session() as holder:
        holder.execute(SELECT)
        with pytest.raises(exc.DBAPIError), database.sync_session() as session:
            session.execute(SELECT)
    with database.sync_session() as session:
        session.execute(SELECT)
    # The holder's, and the one that waited in vain.
    assert database.snapshot().opened == 2
    asyncio.run(database.close())


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["transaction", "session"])
@drivers
async def test_a_pooler_that_takes_no_more_clients_is_told_as_that(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str, mode: str
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer(mode, max_client_conn=1)
    url, settings = pooler.url(driver, fresh_database.name), {"provider": f"pgbouncer-{mode}", "look_at_server": False}
    async with (
        Database(url, min_idle=0, **settings) as first,  # type: ignore[arg-type]
        Database(url, min_idle=0, connect_grace=0, **settings) as second,  # type: ignore[arg-type]
    ):
        await first.ping()
        with pytest.raises(ConnectFailed) as refused:
            async with second.session() as session:
                await session.execute(SELECT)
        assert refused.value.reason is ConnectFailure.TOO_MANY_CONNECTIONS
        assert retry_reason(refused.value) is None
        (cause, *_) = (await second.explain()).findings
        assert cause.code == "pooler-full"
