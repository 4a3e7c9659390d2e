"""Through a real PgBouncer, whose every transaction may run on another server connection."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase, PgBouncer

from poolkeeper import CommitUnknown, ConnectFailed, ConnectFailure, Database, SettingsRefused
from poolkeeper.drivers import is_pooler_timeout
from poolkeeper.fastapi.problems import problem_of
from poolkeeper.testing import EmbeddedPostgres

MakePooler = Callable[..., PgBouncer]
drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])

WORK = """
import asyncio, sys
from sqlalchemy import text
from poolkeeper import Database

async def main():
    async with Database(sys.argv[1], provider="pgbouncer-transaction", pool_size=5) as database:
        async def work(task):
            for number in range(150):
                async with database.session() as session:
                    total = await session.scalar(text("SELECT CAST(:n AS int) + :m"), {"n": number, "m": task})
                    assert total == number + task
                async with database.read_session() as session:
                    assert await session.scalar(text("SELECT CAST(:n AS int)"), {"n": number}) == number
        async with asyncio.TaskGroup() as group:
            for task in range(4):
                group.create_task(work(task))

asyncio.run(main())
"""


@drivers
def test_transaction_mode_serves_several_processes_and_leaves_no_statement(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer(default_pool_size=3)
    url = pooler.url(driver, fresh_database.name)
    workers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", WORK, url], stderr=subprocess.PIPE) for _ in range(2)
    ]
    results = [worker.communicate(timeout=60) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], results
    assert asyncio.run(statements_left(url)) == 0


async def statements_left(url: str) -> int:
    left = text("SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared%'")
    pooled = Database(url, provider="pgbouncer-transaction", pool_size=5)
    async with pooled as database, database.read_session() as session:
        return int((await session.execute(left)).scalar_one())


@pytest.mark.anyio
@drivers
async def test_session_mode_serves(fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("session", default_pool_size=5)
    async with Database(pooler.url(driver, fresh_database.name), provider="pgbouncer-session", pool_size=5) as database:
        for _ in range(10):
            async with database.session() as session:
                assert await session.scalar(text("SELECT CAST(:n AS int)"), {"n": 1}) == 1


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
@drivers
async def test_a_queue_in_the_pooler_that_lasts_too_long_is_told_as_that(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer(default_pool_size=1, query_wait_timeout=1)
    url = pooler.url(driver, fresh_database.name)
    async with Database(url, provider="pgbouncer-transaction", min_idle=3, pool_size=5, ping_after=60) as database:
        async with database.session() as holder:
            await holder.execute(text("SELECT 1"))
            with pytest.raises(exc.DBAPIError) as waited:
                async with database.session() as session:
                    await session.execute(text("SELECT 1"))
        problem = problem_of(waited.value)
        assert problem is not None
        assert (problem.kind, problem.retry_after) == ("pooler-timeout", 1)
        assert is_pooler_timeout(waited.value)
        async with database.session() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        assert database.snapshot().in_use == 0


@pytest.mark.anyio
@drivers
async def test_a_pooler_that_nobody_named_is_found_by_the_first_connection(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("session", default_pool_size=5, ignore_startup_parameters="statement_timeout,options")
    # One in a thousand of its numbers looks like that of a process.
    async with Database(pooler.url(driver, fresh_database.name), min_idle=3, pool_size=5) as database:
        await database.ping()
        (found,) = [finding for finding in database.findings if finding.code == "pooler-not-named"]
    assert "it ignores the statement_timeout of 30 s" in found.seen
    assert caplog.text.count("pooler-not-named") == 1


@pytest.mark.anyio
@drivers
async def test_a_pooler_that_refuses_what_it_is_sent_is_found_by_that(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    url = pgbouncer().url(driver, fresh_database.name)
    async with Database(url, min_idle=0) as database:
        with pytest.raises(ConnectFailed, match="unsupported startup parameter") as refused:
            await database.ping()
        assert refused.value.reason is ConnectFailure.OTHER
        assert [finding.code for finding in database.findings if finding.subject == "provider"] == [
            "pooler-refuses-parameter"
        ]


@pytest.mark.anyio
@drivers
async def test_no_pooler_is_found_where_there_is_none(fresh_database: FreshDatabase, driver: str) -> None:
    async with Database(fresh_database.url(driver), pool_size=5) as database:
        await database.ping()
        assert not [finding for finding in database.findings if finding.code.startswith("pooler")]


async def more_than(count: Callable[[], int], least: int) -> None:
    for _ in range(400):
        if count() > least:
            return
        await asyncio.sleep(0.05)
    pytest.fail("nothing is served any more")


@pytest.mark.anyio
@pytest.mark.slow
@drivers
async def test_transactions_go_on_after_a_restart_of_the_server_behind_the_pooler(
    pgbouncer: MakePooler, driver: str
) -> None:
    with EmbeddedPostgres() as server:
        pooler = pgbouncer(server=server, default_pool_size=3, server_login_retry=1)
        url = pooler.url(driver, "postgres")
        async with Database(url, provider="pgbouncer-transaction", pool_size=5, retry_budget=0.9) as database:
            done = asyncio.Event()

            async def one(session: AsyncSession) -> int:
                return int(await session.scalar(text("SELECT 1")) or 0)

            terms = database.transactional(attempts=20, deadline=30)
            served = 0

            async def caller() -> None:
                nonlocal served
                while not done.is_set():
                    # The server may go away while it commits: that is told, and everything else goes on.
                    with suppress(CommitUnknown):
                        served += await terms(one)()

            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(caller())
                await more_than(lambda: served, 10)
                await asyncio.to_thread(server.restart)
                await more_than(lambda: served, served + 10)
                done.set()
            assert database.snapshot().in_use == 0


@pytest.mark.slow
@drivers
def test_ten_thousand_transactions_of_four_processes_all_succeed(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    fresh_database.may_leave_backends = True
    url = pgbouncer(default_pool_size=3).url(driver, fresh_database.name)
    work = WORK.replace("range(150)", "range(313)")
    workers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", work, url], stderr=subprocess.PIPE) for _ in range(4)
    ]
    results = [worker.communicate(timeout=200) for worker in workers]
    # 4 processes of 4 tasks, each with 313 transactions to write and as many to read.
    assert [worker.returncode for worker in workers] == [0] * 4, results
    assert asyncio.run(statements_left(url)) == 0
