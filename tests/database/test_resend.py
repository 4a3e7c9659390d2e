"""A read session whose connection breaks under its first statement sends that once more, and nothing else."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import event, exc, text
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on

from poolkeeper import Database
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")


def break_checkouts(proxy: FaultProxy, engine: object, times: int) -> None:
    """Cut connections off that were just looked at and handed out."""
    left = times

    @event.listens_for(engine, "checkout")
    def cut(*_args: object) -> None:
        nonlocal left
        if left:
            left -= 1
            proxy.reset()
            time.sleep(0.05)


def reads(database: Database) -> int:
    retries = database.snapshot().retries
    assert retries is not None
    return retries.retried.get("read", 0)


@on(*POSTGRESQL, *MARIADB)
async def test_the_first_statement_is_sent_once_more(store: Store, proxy: FaultProxy) -> None:
    async with Database(proxy.url(store.url), min_idle=0) as database:
        break_checkouts(proxy, database.engine.sync_engine, 1)
        async with database.read_session() as session:
            assert await session.scalar(SELECT) == 1
            assert (await session.execute(SELECT)).scalar_one() == 1
        assert reads(database) == 1
        store.assert_conserved(database)


@on(*BLOCKING)
async def test_the_same_on_threads(store: Store, proxy: FaultProxy) -> None:
    def read() -> int:
        with database.sync_read_session() as session:
            return int(session.scalar(SELECT) or 0)

    async with Database(proxy.url(store.url), min_idle=0) as database:
        break_checkouts(proxy, database.sync_engine, 1)
        assert await asyncio.to_thread(read) == 1
        assert reads(database) == 1


@pytest.mark.slow
@on(POSTGRESQL[0])
async def test_twice_is_no_accident(store: Store, proxy: FaultProxy) -> None:
    async with Database(proxy.url(store.url), min_idle=0) as database:
        break_checkouts(proxy, database.engine.sync_engine, 2)
        with pytest.raises(exc.DBAPIError):
            async with database.read_session() as session:
                await session.scalar(SELECT)
        assert reads(database) == 1


@on(POSTGRESQL[0])
async def test_a_later_statement_is_not_repeated(store: Store, proxy: FaultProxy) -> None:
    async with Database(proxy.url(store.url), min_idle=0) as database:
        with pytest.raises(exc.DBAPIError):
            async with database.read_session() as session:
                await session.scalar(SELECT)
                proxy.reset()
                await session.scalar(SELECT)
        assert reads(database) == 0


@on(POSTGRESQL[0])
async def test_a_session_that_writes_repeats_nothing(store: Store, proxy: FaultProxy) -> None:
    async with Database(proxy.url(store.url), min_idle=0) as database:
        break_checkouts(proxy, database.engine.sync_engine, 1)
        with pytest.raises(exc.DBAPIError):
            async with database.session() as session:
                await session.scalar(SELECT)
        assert reads(database) == 0


@on(POSTGRESQL[0])
async def test_a_transaction_that_the_caller_began_is_theirs(store: Store, proxy: FaultProxy) -> None:
    async with Database(proxy.url(store.url), min_idle=0) as database:
        break_checkouts(proxy, database.engine.sync_engine, 1)
        with pytest.raises(exc.DBAPIError):
            async with database.read_session() as session, session.begin():
                await session.scalar(SELECT)
        assert reads(database) == 0
