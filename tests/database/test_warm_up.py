"""A database that is started has its connections open, or says what is missing."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sqlalchemy import event, make_url, text
from tests.database.stores import AIOSQLITE, MARIADB, POSTGRESQL, Store, on
from tests.servers import FreshDatabase

from poolkeeper import Database, Databases
from poolkeeper.database import State
from poolkeeper.fastapi import Keeper

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")
PSYCOPG = on(POSTGRESQL[1])


@pytest.fixture
def refusing(closed_port: int) -> str:
    """The URL of a database that nobody serves, and nobody will."""
    return f"postgresql+asyncpg://me:s3cr3t@127.0.0.1:{closed_port}/x"


@on(POSTGRESQL[0], *MARIADB)
async def test_all_connections_are_open_when_the_start_is_over(store: Store) -> None:
    async with store.make(pool_size=5, min_idle=None) as database:
        assert database.settings.min_idle == 5
        assert len(store.connections()) == 5
        opened = database.snapshot().opened
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(_select(database))
        assert (opened, database.snapshot().opened) == (5, 5)


@PSYCOPG
async def test_of_a_driver_for_both_the_asyncio_pool_is_warm_where_it_is_expected(store: Store) -> None:
    async with store.make(min_idle=3) as database:
        assert store.connections() == []
        assert database.snapshot().opened == 0
    for expected in (True, False):
        database = store.make(min_idle=3)
        keeper = Keeper(database)
        _ = keeper.read if expected else keeper.sync_read
        async with database:
            assert len(store.connections()) == (3 if expected else 0)
            await database.ping()
            assert len(store.connections()) == (3 if expected else 1)


@on(AIOSQLITE[0])
async def test_nothing_is_opened_ahead_where_that_saves_nothing(store: Store) -> None:
    async with store.make(min_idle=None) as database:
        assert database.snapshot().opened == 0


async def test_a_start_without_a_database_ends_and_says_what_is_missing_and_why(
    refusing: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(refusing, pool_size=5, warm_up_timeout=0.2)
    with caplog.at_level(logging.WARNING, "poolkeeper"):
        await database.start()
    assert database.state is State.READY
    # Beside what the journal says of connects that fail.
    (line,) = (record.getMessage() for record in caplog.records if not hasattr(record, "event"))
    assert "5 of 5 min_idle connections missing after 0.2 s" in line
    assert "refused" in line
    assert "s3cr3t" not in line
    assert "\n" not in line
    await database.close()


@on(*POSTGRESQL, *MARIADB)
async def test_a_start_does_not_wait_for_what_waiting_does_not_cure(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    url = make_url(store.url).set(database="no_such_database").render_as_string(hide_password=False)
    database = Database(url, pool_size=5, warm_up_timeout=30)
    database.expect("async")
    with caplog.at_level(logging.WARNING, "poolkeeper"):
        async with asyncio.timeout(10):
            await database.start()
    assert "no-such-database" in caplog.text
    await database.close()


async def test_a_start_does_not_wait_for_others_to_leave_a_full_server(
    fresh_database: FreshDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    server, role = fresh_database.server, f"{fresh_database.name}_few"
    server.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2")
    url = make_url(fresh_database.url()).set(username=role).render_as_string(hide_password=False)
    database = Database(url, pool_size=5, warm_up_timeout=30)
    database.expect("async")
    with caplog.at_level(logging.WARNING, "poolkeeper"):
        async with asyncio.timeout(10):
            await database.start()
    assert "too-many-connections" in caplog.text
    assert await database.ping() < 10
    await database.close()
    server.execute(f"DROP ROLE {role}")


async def test_a_start_that_does_not_wait_says_nothing(refusing: str, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(refusing, pool_size=5, warm_up_timeout=0)
    with caplog.at_level(logging.WARNING, "poolkeeper"):
        await database.start()
    assert (database.state, caplog.records) == (State.READY, [])
    await database.close()


async def test_a_database_is_not_ready_before_it_is_warm(refusing: str) -> None:
    database = Database(refusing, pool_size=5, warm_up_timeout=0.3)
    starting = asyncio.create_task(database.start())
    await asyncio.sleep(0.05)
    assert database.state is State.NEW
    await starting
    assert database.state is State.READY
    await database.close()


async def test_a_shutdown_that_begins_during_the_start_is_not_undone(refusing: str) -> None:
    database = Database(refusing, pool_size=5, warm_up_timeout=0.2)
    starting = asyncio.create_task(database.start())
    await asyncio.sleep(0.05)
    database.begin_shutdown()
    await starting
    assert database.state is State.DRAINING
    await database.close()


async def test_databases_are_started_at_the_same_time(refusing: str) -> None:
    async with asyncio.timeout(3):
        databases = Databases(**{f"d{n}": Database(refusing, pool_size=5, warm_up_timeout=0.5) for n in range(10)})
        await databases.start()
    await databases.close()


async def test_what_the_start_could_not_open_is_opened_later(fresh_database: FreshDatabase) -> None:
    database = Database(fresh_database.url(), pool_size=5, warm_up_timeout=0.1)
    refusals = 3

    @event.listens_for(database.engine.sync_engine, "do_connect")
    def refuse(*_: object) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise ConnectionRefusedError("not yet")

    async with database, asyncio.timeout(10):
        while database.snapshot().idle < 5:  # noqa: ASYNC110 - nothing tells of a connection that is open
            await asyncio.sleep(0.01)
    assert refusals < 0


async def _select(database: Database) -> None:
    async with database.session() as session:
        await session.execute(SELECT)
