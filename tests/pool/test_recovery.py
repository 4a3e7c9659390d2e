"""How soon callers are served after the database was away or silent, in virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from poolkeeper.model import CloseReason
from poolkeeper.pool import KeeperPool
from poolkeeper.testing.scripted import ScriptedDatabase, VirtualTimeLoop

SIZE = 5
SELECT = text("SELECT 1")


def play(scene: Callable[[ScriptedDatabase, AsyncEngine], Awaitable[None]]) -> None:
    async def scenario() -> None:
        database = ScriptedDatabase()
        engine = database.engine(poolclass=KeeperPool, pool_size=SIZE, max_overflow=0, keepalive=None)
        try:
            await scene(database, engine)
        finally:
            database.heal()
            await engine.dispose()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())


async def ask(engine: AsyncEngine) -> float:
    """Seconds until a statement is answered."""
    began = time.monotonic()
    async with engine.connect() as connection:
        await connection.execute(SELECT)
    return time.monotonic() - began


async def open_all(engine: AsyncEngine) -> None:
    for connection in [await engine.connect() for _ in range(SIZE)]:
        await connection.close()


def test_one_caller_waits_for_one_ping_when_all_idle_connections_are_silent() -> None:
    async def scene(database: ScriptedDatabase, engine: AsyncEngine) -> None:
        await open_all(engine)
        await asyncio.sleep(5)
        for connection in database.connections:
            connection.silence()
        assert await ask(engine) < 2.1
        assert isinstance(engine.pool, KeeperPool)
        assert engine.pool.counts().closed == {CloseReason.PING: SIZE}

    play(scene)


def test_connections_heard_from_since_survive_the_silence_of_another() -> None:
    async def scene(database: ScriptedDatabase, engine: AsyncEngine) -> None:
        await open_all(engine)
        await asyncio.sleep(5)
        database.connections[-1].silence()
        caller = asyncio.create_task(ask(engine))
        await asyncio.sleep(1)
        # Both get the connection that answers, while the other one is silent.
        assert await ask(engine) == 0
        assert await caller == 1
        await asyncio.sleep(2)
        assert isinstance(engine.pool, KeeperPool)
        assert (engine.pool.counts().idle, engine.pool.counts().closed) == (1, {CloseReason.PING: SIZE - 1})

    play(scene)


def test_an_outage_that_nobody_has_looked_at_for_long_fails_nobody() -> None:
    async def scene(database: ScriptedDatabase, engine: AsyncEngine) -> None:
        database.connects.fail(ConnectionRefusedError)
        refused = await asyncio.gather(ask(engine), return_exceptions=True)
        assert isinstance(refused[0], ConnectionRefusedError)
        database.heal()
        await asyncio.sleep(300)
        assert max(await asyncio.gather(*(ask(engine) for _ in range(SIZE)))) < 0.1

    play(scene)


def test_a_disposed_pool_counts_what_is_still_in_use() -> None:
    async def scene(database: ScriptedDatabase, engine: AsyncEngine) -> None:
        pool = engine.pool
        assert isinstance(pool, KeeperPool)
        connection = await engine.connect()
        await engine.dispose()
        assert (pool.counts().in_use, pool.checkedout()) == (1, 0)
        await connection.close()
        await asyncio.sleep(0.1)
        assert pool.counts().in_use == 0
        assert pool.counts().opened == pool.counts().closed_total == 1

    play(scene)


def test_who_checks_out_while_the_engine_is_disposed_of_leaves_no_connection_open() -> None:
    async def scene(database: ScriptedDatabase, engine: AsyncEngine) -> None:
        database.closes.answer(delay=0.01)
        before = engine.pool
        assert isinstance(before, KeeperPool)
        await ask(engine)
        disposing = asyncio.create_task(engine.dispose())
        # The old pool is closing its connections, and the engine has it still.
        await asyncio.sleep(0)
        assert engine.pool is before
        await ask(engine)
        await disposing
        await asyncio.sleep(1)
        assert before.counts().opened == before.counts().closed_total == 2
        assert before.counts().idle == 0

    play(scene)
