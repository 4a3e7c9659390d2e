"""What people write every day: the engine, sessions, isolation levels, on every driver and both loops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.util import greenlet_spawn
from tests.pool.stock.pools import SELECT, Maker, driver_connection, holding, on_both_loops, on_every_driver

pytestmark = pytest.mark.anyio
note = Table("note", MetaData(), Column("id", Integer, primary_key=True), Column("body", String(100)))


@on_both_loops
@on_every_driver
async def test_connect_begin_and_sessions(make: Maker) -> None:
    engine = make(pool_size=2)
    async with engine.begin() as connection:
        await connection.execute(insert(note).values(id=1, body="kept"))
    async with engine.connect() as connection:
        await connection.execute(insert(note).values(id=2, body="not kept"))
    with pytest.raises(ZeroDivisionError):
        async with engine.begin() as connection:
            await connection.execute(insert(note).values(id=3, body="not kept"))
            raise ZeroDivisionError
    async with async_sessionmaker(engine).begin() as session:
        await session.execute(insert(note).values(id=4, body="kept"))
    async with AsyncSession(engine) as session:
        assert (await session.scalars(select(note.c.id).order_by(note.c.id))).all() == [1, 4]
    assert engine.pool.checkedout() == 0
    assert make.store.rows() == 2


@on_every_driver
async def test_many_at_once(make: Maker) -> None:
    engine = make(pool_size=2, max_overflow=1)

    async def use() -> int:
        async with engine.connect() as connection:
            return (await connection.execute(SELECT)).scalar_one()

    assert await asyncio.gather(*(use() for _ in range(20))) == [1] * 20
    assert engine.pool.checkedout() == 0


@on_every_driver
async def test_raw_connection(make: Maker) -> None:
    engine = make(pool_size=1)
    proxy = await engine.raw_connection()
    assert proxy.is_valid
    assert proxy.driver_connection is not None
    assert engine.pool.checkedout() == 1
    assert await greenlet_spawn(_one, proxy) == 1
    await greenlet_spawn(proxy.close)
    assert (engine.pool.checkedout(), engine.pool.checkedin()) == (0, 1)


def _one(proxy: Any) -> int:
    cursor = proxy.cursor()
    cursor.execute("SELECT 1")
    (value,) = cursor.fetchone()
    cursor.close()
    return value


@on_every_driver
async def test_autocommit_of_one_connection_ends_with_it(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0)
    async with engine.connect() as connection:
        first = await driver_connection(connection)
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(insert(note).values(id=1, body="kept"))
    async with engine.connect() as connection:
        assert await driver_connection(connection) is first
        await connection.execute(insert(note).values(id=2, body="not kept"))
    assert make.store.rows() == 1


@on_every_driver
async def test_autocommit_of_the_engine(make: Maker) -> None:
    engine = make(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(insert(note).values(id=1, body="kept"))
    assert make.store.rows() == 1


async def test_an_engine_with_options_shares_the_pool(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0)
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    assert autocommit.pool is engine.pool
    async with autocommit.connect() as connection:
        await connection.execute(insert(note).values(id=1, body="kept"))
        assert engine.pool.checkedout() == 1
    async with engine.connect() as connection:
        await connection.execute(insert(note).values(id=2, body="not kept"))
    assert make.store.rows() == 1


async def test_an_isolation_level_is_reset(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0)
    for level in ("SERIALIZABLE", "REPEATABLE READ"):
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level=level)
            shown = await connection.exec_driver_sql("SHOW transaction_isolation")
            assert shown.scalar() == level.lower()
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SHOW transaction_isolation")).scalar() == "read committed"


async def test_a_stream_holds_its_connection(make: Maker) -> None:
    engine = make(pool_size=1)
    async with engine.connect() as connection, connection.stream(SELECT) as rows:
        assert engine.pool.checkedout() == 1
        assert [row[0] async for row in rows] == [1]
    assert engine.pool.checkedout() == 0


async def test_a_session_takes_a_connection_when_it_needs_one(make: Maker) -> None:
    engine = make(pool_size=1)
    async with AsyncSession(engine) as session:
        assert engine.pool.checkedout() == 0
        await session.execute(SELECT)
        assert engine.pool.checkedout() == 1
        await session.commit()
        assert engine.pool.checkedout() == 0


@on_both_loops
async def test_connections_are_used_again(make: Maker) -> None:
    engine = make(pool_size=2)
    async with holding(engine, 2) as connections:
        first = {await driver_connection(connection) for connection in connections}
    for _ in range(3):
        async with holding(engine, 2) as connections:
            assert {await driver_connection(connection) for connection in connections} == first
