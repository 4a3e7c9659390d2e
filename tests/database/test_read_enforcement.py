"""Writes that no text shows: a read session refuses what it sees, and with `enforce_read_only` the server the rest."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import exc, text
from tests.servers import FreshDatabase

from poolkeeper import Database, ReadOnlySession

HIDDEN = ("SELECT nextval('number')", "SELECT note('hidden')")
TABLES = (
    "CREATE SEQUENCE number",
    "CREATE TABLE note (body text)",
    "CREATE FUNCTION note(body text) RETURNS void LANGUAGE sql AS 'INSERT INTO note VALUES (body)'",
)
drivers = pytest.mark.parametrize(
    "driver", ["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow), "psycopg on threads"]
)


@pytest.fixture
def database(fresh_database: FreshDatabase, driver: str) -> Database:
    for statement in TABLES:
        fresh_database.execute(statement)
    name = driver.partition(" ")[0]
    return Database(fresh_database.url(name), pool_size=1, max_overflow=0, min_idle=0, enforce_read_only="server")


async def read(database: Database, driver: str, *statements: str) -> list[object]:
    """What one read session gets."""

    def in_thread() -> list[object]:
        with database.sync_read_session() as session:
            return [session.scalar(text(statement)) for statement in statements]

    if driver.endswith("threads"):
        return await asyncio.to_thread(in_thread)
    async with database.read_session() as session:
        return [await session.scalar(text(statement)) for statement in statements]


async def write(database: Database, driver: str) -> None:
    def in_thread() -> None:
        with database.sync_session() as session:
            session.execute(text(HIDDEN[1]))

    if driver.endswith("threads"):
        await asyncio.to_thread(in_thread)
        return
    async with database.session() as session:
        await session.execute(text(HIDDEN[1]))


@drivers
@pytest.mark.anyio
async def test_the_server_refuses_what_the_text_does_not_show(database: Database, driver: str) -> None:
    async with database:
        for statement in HIDDEN:
            with pytest.raises(exc.DBAPIError, match="read-only transaction"):
                await read(database, driver, statement)
        # What is seen is refused before it is sent, as ever.
        with pytest.raises(ReadOnlySession):
            await read(database, driver, "DELETE FROM note")
        # The one connection writes as before for others, and the refusals spoke of no host: it is still the same.
        await write(database, driver)
        assert await read(database, driver, "SELECT count(*) FROM note", "SHOW transaction_read_only") == [1, "on"]
        assert database.snapshot().opened == 1


@pytest.mark.parametrize("driver", ["asyncpg"])
@pytest.mark.anyio
async def test_without_it_a_function_may_write(database: Database, fresh_database: FreshDatabase, driver: str) -> None:
    async with Database(fresh_database.url(), min_idle=0) as plain:
        await read(plain, driver, HIDDEN[1])
    async with database:
        assert await read(database, driver, "SELECT count(*) FROM note") == [1]
