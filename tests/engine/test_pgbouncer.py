"""Through a real PgBouncer, whose every transaction may run on another server connection."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import exc, text
from tests.servers import FreshDatabase, PgBouncer

from poolkeeper import Database, SettingsRefused

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


@pytest.mark.anyio
@drivers
async def test_a_queue_in_the_pooler_that_lasts_too_long_ends_as_a_lost_connection(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer(default_pool_size=1, query_wait_timeout=1)
    url = pooler.url(driver, fresh_database.name)
    async with Database(url, provider="pgbouncer-transaction", pool_pre_ping=False) as database:
        async with database.session() as holder:
            await holder.execute(text("SELECT 1"))
            with pytest.raises(exc.DBAPIError) as waited:
                async with database.session() as session:
                    await session.execute(text("SELECT 1"))
            assert waited.value.connection_invalidated or isinstance(waited.value, exc.OperationalError)
        async with database.session() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        assert database.snapshot().in_use == 0


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
