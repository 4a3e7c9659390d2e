"""How long a connection was silent is what counts before it is used again, not how long its holder had it."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import text
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on

from poolkeeper import Database
from poolkeeper.testing import FaultProxy

SELECT = text("SELECT 1")
PING_AFTER = 0.3


def settings() -> dict[str, float]:
    return {"pool_size": 1, "max_overflow": 0, "ping_after": PING_AFTER, "keepalive": 60}


@pytest.mark.anyio
@on(*POSTGRESQL, *MARIADB)
async def test_an_answer_near_the_end_of_a_long_hold_saves_the_ping(store: Store, proxy: FaultProxy) -> None:
    async with Database(proxy.url(store.url), **settings()) as database:

        async def turns_after(silence: float) -> int:
            async with database.session() as session:
                await session.execute(SELECT)
                await asyncio.sleep(PING_AFTER + 0.05 - silence)
                await session.execute(SELECT)
                await asyncio.sleep(silence)
            proxy.reset_counters()
            async with database.session() as session:
                await session.execute(SELECT)
            return proxy.counters.turns

        async with database.session() as session:
            # Until the driver has prepared the statement.
            for _ in range(8):
                await session.execute(SELECT)
        heard, silent = await turns_after(0), await turns_after(PING_AFTER + 0.05)
        assert heard < silent
        assert database.snapshot().opened == 1


@on(*BLOCKING)
def test_on_threads_too(store: Store, proxy: FaultProxy) -> None:
    database = Database(proxy.url(store.url), **settings())

    def turns_after(silence: float) -> int:
        with database.sync_session() as session:
            session.execute(SELECT)
            time.sleep(PING_AFTER + 0.05 - silence)
            session.execute(SELECT)
            time.sleep(silence)
        proxy.reset_counters()
        with database.sync_session() as session:
            session.execute(SELECT)
        return proxy.counters.turns

    with database.sync_session() as session:
        for _ in range(8):
            session.execute(SELECT)
    heard, silent = turns_after(0), turns_after(PING_AFTER + 0.05)
    assert heard < silent
    asyncio.run(database.close())
