"""What `create_async_engine` takes for its pool means the same on both."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import create_engine, create_pool_from_url, exc, text
from sqlalchemy.ext.asyncio import async_engine_from_config, create_async_engine
from sqlalchemy.pool import Pool
from sqlalchemy.util import greenlet_spawn
from tests.pool.stock.pools import (
    SELECT,
    Maker,
    driver_connection,
    holding,
    kill_all,
    on_every_driver,
    on_every_server,
    open_one,
)

pytestmark = pytest.mark.anyio


@on_every_driver
async def test_the_engine_is_on_the_pool_it_was_given(make: Maker, pool_class: type[Pool]) -> None:
    engine = make()
    assert type(engine.pool) is pool_class
    assert engine.sync_engine.pool is engine.pool
    await open_one(engine)
    assert type(engine.pool) is pool_class


async def test_the_defaults(make: Maker) -> None:
    pool = make().pool
    assert (pool.size(), pool.overflow(), pool.timeout()) == (5, -5, 30.0)
    async with holding(make(pool_timeout=0), 15):
        pass


async def test_nothing_is_opened_before_the_first_use(make: Maker) -> None:
    make(pool_size=3)
    await asyncio.sleep(0.02)
    assert make.store.connections() == []


@pytest.mark.parametrize("used", [1, 3])
async def test_the_pool_grows_to_what_is_used_at_once(make: Maker, used: int) -> None:
    engine = make(pool_size=5)
    for _ in range(2):
        async with holding(engine, used):
            assert len(make.store.connections()) == used
    assert engine.pool.checkedin() == used


async def test_an_unknown_argument_is_refused(make: Maker) -> None:
    with pytest.raises(TypeError, match="pool_sizes"):
        make(pool_sizes=3)


async def test_a_blocking_engine_is_refused(make: Maker, pool_class: type[Pool]) -> None:
    with pytest.raises(exc.ArgumentError, match=rf"{pool_class.__name__} cannot be used with non-asyncio"):
        create_engine("postgresql+psycopg://", poolclass=pool_class)


async def test_pool_size_and_max_overflow_are_the_bound(make: Maker) -> None:
    engine = make(pool_size=2, max_overflow=1, pool_timeout=0.3)
    async with holding(engine, 3):
        with pytest.raises(exc.TimeoutError):
            await engine.connect()


async def test_pool_size_0_is_no_bound_and_keeps_everything(make: Maker) -> None:
    engine = make(pool_size=0, pool_timeout=1)
    async with holding(engine, 12):
        assert (engine.pool.size(), engine.pool.overflow(), engine.pool.checkedout()) == (0, 0, 12)
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (12, 0)


async def test_max_overflow_minus_1_is_no_bound(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=-1, pool_timeout=1)
    async with holding(engine, 12):
        assert (engine.pool.size(), engine.pool.overflow(), engine.pool.checkedout()) == (1, 11, 12)


@pytest.mark.parametrize("timeout", [0, 0.3])
async def test_pool_timeout_is_how_long_a_caller_waits(make: Maker, timeout: float) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=timeout)
    assert engine.pool.timeout() == timeout
    loop = asyncio.get_running_loop()
    async with holding(engine, 1):
        began = loop.time()
        with pytest.raises(exc.TimeoutError, match=rf"timed out, timeout {timeout:.2f}") as error:
            await engine.connect()
        # The clock of timers may be a step behind.
        assert loop.time() - began >= timeout - 0.01
    assert error.value.code == "3o7r"
    assert "limit of size 1 overflow 0 reached" in str(error.value)


async def test_whoever_waits_gets_what_comes_back(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0)
    async with engine.connect() as first:
        handed = await driver_connection(first)
        waiting = asyncio.create_task(open_one(engine))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    assert await waiting is handed


async def test_a_free_place_is_used_however_long_others_held_theirs(make: Maker) -> None:
    engine = make(pool_size=2, max_overflow=0, pool_timeout=0.5)
    async with holding(engine, 1):
        await asyncio.sleep(0.6)
    async with holding(engine, 2):
        pass


@pytest.mark.parametrize(("use_lifo", "expected"), [(True, [2, 1, 0]), (False, [0, 1, 2])])
async def test_pool_use_lifo(make: Maker, use_lifo: bool, expected: list[int]) -> None:
    engine = make(pool_size=3, pool_use_lifo=use_lifo)
    async with holding(engine, 3) as connections:
        handed = [await driver_connection(connection) for connection in connections]
    async with holding(engine, 3) as connections:
        again = [await driver_connection(connection) for connection in connections]
    assert [handed.index(connection) for connection in again] == expected


@on_every_server
async def test_pool_recycle_replaces_what_is_older(make: Maker) -> None:
    engine = make(pool_recycle=0.6)
    first = await open_one(engine)
    assert await open_one(engine) is first
    await asyncio.sleep(0.65)
    assert await open_one(engine) is not first


async def test_pool_recycle_0_never_hands_out_twice(make: Maker) -> None:
    engine = make(pool_recycle=0)
    connections = []
    for _ in range(3):
        connections.append(await open_one(engine))
        # Ages are compared on a clock that may stand still for a moment.
        await asyncio.sleep(0.001)
    assert len(set(connections)) == 3


@on_every_server
async def test_pool_pre_ping_replaces_what_died(make: Maker) -> None:
    engine = make(pool_pre_ping=True, pool_size=2)
    async with holding(engine, 2):
        pass
    for _ in range(2):
        dead = await open_one(engine)
        kill_all(make.store)
        assert await open_one(engine) is not dead


@pytest.mark.parametrize("value", ["rollback", "commit", True, False, None])
@on_every_server
async def test_pool_reset_on_return(make: Maker, value: Any) -> None:
    engine = make(pool_reset_on_return=value, pool_size=1)
    await _insert_without_an_end(engine)
    committed = make.store.rows()
    connection = await engine.raw_connection()
    seen = await greenlet_spawn(_fetch, connection, "SELECT count(*) FROM note")
    await greenlet_spawn(connection.rollback)
    await greenlet_spawn(connection.close)
    expected = {"rollback": (0, 0), True: (0, 0), "commit": (1, 1), None: (0, 1), False: (0, 1)}
    assert (committed, seen) == expected[value]


async def _insert_without_an_end(engine: Any) -> None:
    connection = await engine.raw_connection()
    await greenlet_spawn(_execute, connection, "INSERT INTO note VALUES (1, 'x')")
    await greenlet_spawn(connection.close)


def _execute(connection: Any, sql: str) -> None:
    cursor = connection.cursor()
    cursor.execute(sql)
    cursor.close()


def _fetch(connection: Any, sql: str) -> Any:
    cursor = connection.cursor()
    cursor.execute(sql)
    (value,) = cursor.fetchone()
    cursor.close()
    return value


async def test_pool_reset_on_return_refuses_other_values(make: Maker) -> None:
    with pytest.raises(exc.ArgumentError, match="reset_on_return"):
        make(pool_reset_on_return="whatever")


async def test_pool_events_listen_from_the_first_connection_on(make: Maker) -> None:
    heard: list[str] = []
    listeners = [(lambda *_, name=name: heard.append(name), name) for name in ("connect", "checkout", "checkin")]
    await open_one(make(pool_events=listeners))
    assert heard == ["connect", "checkout", "checkin"]


async def test_an_engine_on_a_pool_made_before(make: Maker) -> None:
    pool = create_pool_from_url(make.store.url, poolclass=make.pool_class, pool_size=2, timeout=3, pre_ping=True)
    assert (pool.size(), pool.timeout()) == (2, 3)
    engine = create_async_engine(make.store.url, pool=pool)
    make.engines.append(engine)
    assert engine.pool is pool
    await open_one(engine)
    assert pool.checkedin() == 1


async def test_a_pool_without_an_engine(make: Maker) -> None:
    engine = make()
    arguments, options = engine.dialect.create_connect_args(engine.url)
    pool = make.pool_class(lambda: engine.dialect.connect(*arguments, **options), pool_size=1, dialect=engine.dialect)
    proxy = await greenlet_spawn(pool.connect)
    assert await greenlet_spawn(_fetch, proxy, "SELECT 7") == 7
    await greenlet_spawn(proxy.close)
    assert pool.checkedin() == 1
    await greenlet_spawn(pool.dispose)


async def test_async_creator(make: Maker) -> None:
    import asyncpg

    made = []

    async def creator() -> Any:
        made.append(await asyncpg.connect(make.store.url.replace("postgresql+asyncpg", "postgresql")))
        return made[-1]

    assert await open_one(make(async_creator=creator)) is made[0]


async def test_settings_from_a_configuration_file_are_text(make: Maker) -> None:
    settings = {"url": make.store.url, "pool_size": "3", "max_overflow": "0", "pool_timeout": "2"}
    settings |= {"pool_recycle": "60", "pool_pre_ping": "true"}
    engine = async_engine_from_config(settings, prefix="", poolclass=make.pool_class)
    make.engines.append(engine)
    async with holding(engine, 2):
        assert (engine.pool.size(), engine.pool.timeout(), engine.pool.overflow()) == (3, 2, -1)


async def test_a_connection_taken_by_two_statements_is_one(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=5)
    async with engine.begin() as connection:
        for _ in range(3):
            assert (await connection.execute(SELECT)).scalar() == 1
        assert (await connection.execute(text("SELECT 2"))).scalar() == 2
