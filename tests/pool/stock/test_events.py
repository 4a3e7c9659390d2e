"""Listeners hear the same events in the same order with the same arguments."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Pool, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import greenlet_spawn
from tests.pool.stock.departures import SAME_RECORD
from tests.pool.stock.pools import (
    KeeperPool,
    Maker,
    at_rest,
    on_all_but_psycopg,
    on_every_driver,
    on_every_server,
    open_one,
)
from tests.pool.stock.recorder import EVENTS, Recorder
from tests.pool.stock.scripts import (
    SCRIPTS,
    Script,
    commit_and_roll_back,
    detach_inside,
    invalidate,
    invalidate_softly,
    lose_in_use,
    use_twice,
)

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("pool_class", [KeeperPool], ids=["both"])


def test_these_are_the_events() -> None:
    assert EVENTS == [
        "checkin",
        "checkout",
        "close",
        "close_detached",
        "connect",
        "detach",
        "first_connect",
        "invalidate",
        "reset",
        "soft_invalidate",
    ]


async def heard(make: Maker, pool_class: type[Pool], script: Script, **settings: Any) -> list[str]:
    engine = make.on(pool_class)(pool_size=2, pool_timeout=5, **settings)
    recorder = Recorder(engine)
    await script(engine, make.store)
    await at_rest(engine)
    return recorder.lines


@both
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
async def test_the_same_events(make: Maker, script: Script) -> None:
    ours, stock = await heard(make, KeeperPool, script), await heard(make, AsyncAdaptedQueuePool, script)
    if script.__name__ in SAME_RECORD:
        stock = [line.replace("record 2", "record 1") for line in stock]
    assert ours == stock


@both
@pytest.mark.parametrize("script", [commit_and_roll_back, invalidate], ids=lambda script: script.__name__)
@on_every_driver
async def test_the_same_events_on_every_driver(make: Maker, script: Script) -> None:
    assert await heard(make, KeeperPool, script) == await heard(make, AsyncAdaptedQueuePool, script)


@both
@on_all_but_psycopg
async def test_the_same_events_of_a_detached_connection(make: Maker) -> None:
    assert await heard(make, KeeperPool, detach_inside) == await heard(make, AsyncAdaptedQueuePool, detach_inside)


@both
@on_every_server
async def test_the_same_events_when_the_server_ends_a_session(make: Maker) -> None:
    assert await heard(make, KeeperPool, lose_in_use) == await heard(make, AsyncAdaptedQueuePool, lose_in_use)


@both
@pytest.mark.parametrize("value", ["commit", None])
async def test_the_same_events_whatever_the_reset(make: Maker, value: str | None) -> None:
    settings = {"pool_reset_on_return": value}
    ours = await heard(make, KeeperPool, commit_and_roll_back, **settings)
    assert ours == await heard(make, AsyncAdaptedQueuePool, commit_and_roll_back, **settings)


@both
async def test_every_event_is_compared(make: Maker) -> None:
    names = set()
    for script in (use_twice, invalidate, invalidate_softly, detach_inside):
        engine = make.on(AsyncAdaptedQueuePool)()
        recorder = Recorder(engine)
        await script(engine, make.store)
        names |= set(recorder.names)
    assert names == set(EVENTS)


def _on_engine(engine: AsyncEngine) -> Any:
    return engine.sync_engine


def _on_pool(engine: AsyncEngine) -> Any:
    return engine.pool


def _on_every_pool(engine: AsyncEngine) -> Any:
    return Pool


@pytest.mark.parametrize("target", [_on_engine, _on_pool, _on_every_pool])
async def test_where_one_listens(make: Maker, target: Any) -> None:
    engine = make()
    calls: list[Any] = []

    def listener(*arguments: Any) -> None:
        calls.append(arguments)

    event.listen(target(engine), "checkout", listener)
    try:
        await open_one(engine)
        assert len(calls) == 1
    finally:
        event.remove(target(engine), "checkout", listener)
    await open_one(engine)
    assert len(calls) == 1


async def test_first_connect_comes_once_and_before_connect(make: Maker) -> None:
    engine = make(pool_size=2)
    recorder = Recorder(engine)
    async with engine.connect(), engine.connect():
        pass
    assert recorder.names[:3] == ["first_connect", "connect", "checkout"]
    assert recorder.names.count("first_connect") == 1
    assert recorder.names.count("connect") == 2


async def test_a_listener_may_speak_to_the_database(make: Maker) -> None:
    """As the documentation shows: a statement on each new connection, through its cursor."""
    engine = make()

    def listener(dbapi_connection: Any, connection_record: Any) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute("SET search_path TO pg_catalog")
        cursor.close()
        dbapi_connection.commit()

    event.listen(engine.sync_engine, "connect", listener)
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SHOW search_path")).scalar() == "pg_catalog"


async def test_a_listener_may_await_the_driver(make: Maker) -> None:
    engine = make()

    def listener(dbapi_connection: Any, connection_record: Any) -> None:
        dbapi_connection.run_async(lambda connection: connection.execute("SET search_path TO pg_catalog"))

    event.listen(engine.sync_engine, "connect", listener)
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SHOW search_path")).scalar() == "pg_catalog"


async def test_a_reset_of_ones_own(make: Maker) -> None:
    """The documented recipe: reset_on_return=None and a listener that does it."""
    engine = make(pool_reset_on_return=None, pool_size=1)

    def listener(dbapi_connection: Any, connection_record: Any, reset_state: Any) -> None:
        dbapi_connection.rollback()
        cursor = dbapi_connection.cursor()
        cursor.execute("RESET search_path")
        cursor.close()
        dbapi_connection.commit()

    event.listen(engine.sync_engine, "reset", listener)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SET search_path TO pg_catalog")
        await connection.commit()
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SHOW search_path")).scalar() == '"$user", public'


async def test_what_a_listener_is_given(make: Maker) -> None:
    engine = make(pool_size=1)
    calls: list[tuple[Any, ...]] = []
    event.listen(engine.sync_engine, "checkout", lambda *arguments: calls.append(arguments))
    proxy = await engine.raw_connection()
    ((dbapi_connection, record, given),) = calls
    assert given is proxy
    assert proxy.dbapi_connection is record.dbapi_connection is dbapi_connection
    assert proxy.driver_connection is record.driver_connection
    assert record.in_use
    assert proxy.is_valid
    assert not proxy.is_detached
    await greenlet_spawn(proxy.close)
    assert not record.in_use
    calls.clear()
    del given
