"""The causes on real pools and servers: three connections, five callers who wait, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool
from tests.database.stores import MARIADB, POSTGRESQL, Store, on

from poolkeeper import Database
from poolkeeper.diagnosis import explain
from poolkeeper.model import Finding, ServerFacts
from poolkeeper.server import look

pytestmark = pytest.mark.anyio
ASYNCPG, *OTHERS = (*POSTGRESQL, *MARIADB)
# What is told of holders is tested with every driver in its own room.
everywhere = pytest.mark.parametrize(
    "store", [ASYNCPG, *(pytest.param(kind, marks=pytest.mark.slow) for kind in OTHERS)], ids=str, indirect=True
)
HERE = "diagnosis/test_on_servers.py"
UPDATE = text("UPDATE note SET body = 'b' WHERE id = 1")

Use = Callable[[AsyncSession], Awaitable[object]]


async def server_facts(store: Store) -> ServerFacts:
    engine = create_async_engine(store.url, poolclass=NullPool)
    async with engine.connect() as connection:
        return await connection.run_sync(look, "the look")


@asynccontextmanager
async def used(store: Store, use: Use, *, users: int = 8, first: float = 0.6) -> AsyncIterator[Database]:
    """A pool of three, and so many who use a connection each, for so many seconds already."""

    async def run(database: Database) -> None:
        async with database.session() as session:
            await use(session)

    async with store.make(pool_size=3, max_overflow=0, pool_timeout=10) as database:
        before = database.snapshot()
        assert before.in_use == 0
        tasks = [asyncio.create_task(run(database)) for _ in range(users)]
        await asyncio.sleep(first)
        try:
            yield database
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def diagnosed(database: Database, store: Store) -> Finding:
    facts = await server_facts(store)
    snapshot = database.snapshot()
    findings = explain([snapshot], facts)
    assert findings, snapshot
    return findings[0]


@everywhere
async def test_a_slow_query(store: Store) -> None:
    async def sleeps(session: AsyncSession) -> None:
        await session.execute(text(store.sleep(1.2)))

    async with used(store, sleeps) as database:
        found = await diagnosed(database, store)
        assert (found.code, found.confidence) == ("slow-query", "certain")
        assert "sleep(?)" in found.seen
        assert HERE in found.seen
    # MariaDB finishes a statement whose client is gone.
    for _ in range(40):
        if not store.connections():
            break
        await asyncio.sleep(0.05)


@everywhere
async def test_a_row_lock(store: Store) -> None:
    store.server.execute("INSERT INTO note (id, body) VALUES (1, 'a')")
    other = create_async_engine(store.url, poolclass=NullPool)
    async with other.connect() as blocker:
        await blocker.execute(text("UPDATE note SET body = 'held' WHERE id = 1"))
        async with used(store, lambda session: session.execute(UPDATE)) as database:
            found = await diagnosed(database, store)
            await blocker.rollback()
        assert found.code == "row-lock-wait"
        assert "idle in transaction" in found.seen


@on(ASYNCPG)
async def test_a_schema_change(store: Store) -> None:
    other = create_async_engine(store.url, poolclass=NullPool)

    async def alters() -> None:
        async with other.begin() as connection:
            await connection.execute(text("ALTER TABLE note ADD COLUMN more int"))

    async with other.connect() as reader:
        await reader.execute(text("SELECT * FROM note"))
        altering = asyncio.create_task(alters())
        await asyncio.sleep(0.2)
        async with used(store, lambda session: session.execute(text("SELECT * FROM note"))) as database:
            found = await diagnosed(database, store)
            await reader.rollback()
            await altering
    assert found.code == "ddl-queue"
    assert "ALTER TABLE note ADD COLUMN more int" in found.seen


@everywhere
async def test_a_call_in_a_transaction(store: Store) -> None:
    async def pays(session: AsyncSession) -> None:
        await session.execute(text("SELECT 1"))
        await charges()

    async def charges() -> None:
        await asyncio.sleep(5)

    async with used(store, pays) as database:
        found = await diagnosed(database, store)
        assert found.code == "held-across-external-io"
        assert "in charges" in found.seen
        assert "asyncio/tasks.py" in found.seen


@everywhere
async def test_a_checkout_before_it_is_needed(store: Store) -> None:
    async def thinks(session: AsyncSession) -> None:
        await session.connection()
        await asyncio.sleep(5)

    async with used(store, thinks) as database:
        assert (await diagnosed(database, store)).code == "checked-out-early"


@on(ASYNCPG)
async def test_a_nested_checkout(store: Store) -> None:
    async with store.make(pool_size=3, max_overflow=0, pool_timeout=10) as database:

        async def nests() -> None:
            async with database.session() as session:
                await session.execute(text("SELECT 1"))
                await asyncio.sleep(0.1)
                async with database.session() as second:
                    await second.execute(text("SELECT 1"))  # the second one

        tasks = [asyncio.create_task(nests()) for _ in range(8)]
        await asyncio.sleep(0.5)
        found = await diagnosed(database, store)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert found.code == "nested-checkout"
    assert f"{HERE}:" in found.seen.partition("waits for another at")[2]


@on(ASYNCPG)
async def test_leaks(store: Store) -> None:
    kept = []

    async with store.make(pool_size=3, max_overflow=0, pool_timeout=10) as database:

        async def forgets() -> None:
            connection = await database.engine.connect()
            kept.append(connection)
            await connection.execute(text("SELECT 1"))

        await asyncio.gather(*(asyncio.create_task(forgets()) for _ in range(3)))
        waiter = asyncio.create_task(forgets())
        await asyncio.sleep(0.1)
        found = await diagnosed(database, store)
        for connection in kept[:3]:
            await connection.close()
        await waiter
        await kept[-1].close()
    assert (found.code, found.severity) == ("leak", "error")
    assert "in forgets" in found.seen


@on(ASYNCPG)
async def test_a_pool_at_ease(store: Store) -> None:
    async with store.make(pool_size=3) as database:
        window = [database.snapshot()]
        for _ in range(50):
            async with database.session() as session:
                await session.execute(text("SELECT 1"))
        window.append(database.snapshot())
        assert explain(window, await server_facts(store)) == ()


@on(ASYNCPG)
async def test_a_pool_that_is_too_small(store: Store) -> None:
    async def reads(session: AsyncSession) -> None:
        while True:
            await session.execute(text("SELECT 1"))
            await session.commit()

    async with used(store, reads, users=60, first=0.1) as database:
        window = [database.snapshot()]
        for _ in range(4):
            await asyncio.sleep(0.15)
            window.append(database.snapshot())
        found = explain(window, await server_facts(store))[0]
    assert found.code == "undersized-pool"
    assert "requests/s x" in found.seen
