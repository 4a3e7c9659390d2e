"""invalidate(), soft and hard, detach(), lost connections, and what their dictionaries remember."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn
from tests.pool.stock.pools import (
    SELECT,
    Maker,
    at_rest,
    driver_connection,
    holding,
    kill_all,
    on_every_driver,
    on_every_server,
    open_one,
    until,
)

pytestmark = pytest.mark.anyio


@on_every_driver
async def test_an_invalidated_connection_is_not_used_again(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=2)
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        first = await driver_connection(connection)
        await connection.invalidate()
        assert connection.invalidated
        await connection.rollback()
        # The next statement takes another one for the same Connection.
        await connection.execute(SELECT)
        assert not connection.invalidated
        second = await driver_connection(connection)
        assert second is not first
    assert await open_one(engine) is second


@on_every_driver
async def test_a_softly_invalidated_connection_is_used_to_its_end(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=2)
    async with engine.connect() as connection:
        proxy = await connection.get_raw_connection()
        first = proxy.driver_connection
        proxy.invalidate(soft=True)
        assert proxy.is_valid
        await connection.execute(SELECT)
        assert await driver_connection(connection) is first
    assert await open_one(engine) is not first


async def test_a_proxy_after_invalidate(make: Maker) -> None:
    proxy = await make().raw_connection()
    await greenlet_spawn(proxy.invalidate)
    assert not proxy.is_valid
    assert proxy.dbapi_connection is None
    with pytest.warns(exc.SAWarning, match="already-closed connection"):
        proxy.invalidate()
    await greenlet_spawn(proxy.close)


@pytest.mark.parametrize("how", ["invalidate", "soft", "recycle", "keep"])
async def test_info_lives_with_the_connection_and_record_info_with_its_place(make: Maker, how: str) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=2, pool_recycle=0.05 if how == "recycle" else -1)
    proxy = await engine.raw_connection()
    proxy.info["of"] = proxy.record_info["of"] = "the first"
    if how in {"invalidate", "soft"}:
        await greenlet_spawn(lambda: proxy.invalidate(soft=how == "soft"))
    await greenlet_spawn(proxy.close)
    if how == "recycle":
        await asyncio.sleep(0.06)
    again = await engine.raw_connection()
    assert again.info == ({"of": "the first"} if how == "keep" else {})
    assert again.record_info == {"of": "the first"}
    await greenlet_spawn(again.close)


@on_every_driver
async def test_a_detached_connection_is_its_holders_own(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=2)
    proxy = await engine.raw_connection()
    proxy.info["of"] = "the first"
    own = proxy.driver_connection
    raw = proxy.dbapi_connection
    proxy.detach()
    assert (proxy.is_detached, proxy.is_valid) == (True, True)
    assert (proxy.info, proxy.record_info, proxy.driver_connection) == ({"of": "the first"}, None, None)
    # Its place is free, and the limit no longer holds for it.
    async with engine.connect() as connection:
        assert await driver_connection(connection) is not own
    assert proxy.dbapi_connection is raw
    await greenlet_spawn(proxy.close)
    # SQLAlchemy does not close a detached connection of psycopg, whatever the pool.
    if make.store.kind.driver == "psycopg":
        await own.close()
    assert engine.pool.checkedin() == 1


async def test_a_detached_connection_may_be_invalidated(make: Maker) -> None:
    engine = make(pool_size=1)
    proxy = await engine.raw_connection()
    own = proxy.driver_connection
    proxy.detach()
    proxy.invalidate()
    await greenlet_spawn(proxy.close)
    assert engine.pool.checkedout() == 0
    await own.close()


@on_every_server
async def test_a_session_that_the_server_ends(make: Maker) -> None:
    """The holder gets an error that says so, and a fresh connection when it goes on."""
    engine = make(pool_size=1, max_overflow=0, pool_timeout=2)
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        kill_all(make.store)
        with pytest.raises(exc.DBAPIError) as error:
            await connection.execute(SELECT)
        assert error.value.connection_invalidated
        assert connection.invalidated
        with pytest.raises(exc.PendingRollbackError):
            await connection.execute(SELECT)
        await connection.rollback()
        assert (await connection.execute(SELECT)).scalar() == 1
    assert engine.pool.checkedin() == 1


@on_every_server
async def test_one_lost_connection_spares_nobody_the_others(make: Maker) -> None:
    """Without pre_ping the first error costs one request; the dead idle ones are not handed out after it."""
    engine = make(pool_size=3, pool_pre_ping=False)
    async with holding(engine, 3):
        pass
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        kill_all(make.store)
        with pytest.raises(exc.DBAPIError):
            await connection.execute(SELECT)
    async with holding(engine, 3) as connections:
        for connection in connections:
            assert (await connection.execute(SELECT)).scalar() == 1


async def test_invalidate_pool_on_disconnect_can_be_turned_off(make: Maker) -> None:
    """The documented hook: an error handler spares the other connections."""
    engine = make(pool_size=2, pool_pre_ping=False)

    @event.listens_for(engine.sync_engine, "handle_error")
    def spare_the_others(context: Any) -> None:
        if context.is_disconnect:
            context.invalidate_pool_on_disconnect = False

    async with holding(engine, 2) as connections:
        kept = await driver_connection(connections[0])
        number = (await connections[1].exec_driver_sql("SELECT pg_backend_pid()")).scalar()
        make.store.server.end(number)
        with pytest.raises(exc.DBAPIError):
            await connections[1].execute(SELECT)
        await connections[1].rollback()
    async with holding(engine, 2) as connections:
        assert kept in [await driver_connection(connection) for connection in connections]


async def test_an_error_that_a_handler_calls_a_disconnect(make: Maker) -> None:
    engine = make(pool_size=1)

    @event.listens_for(engine.sync_engine, "handle_error")
    def every_error_is_one(context: Any) -> None:
        context.is_disconnect = True

    async with engine.connect() as connection:
        first = await driver_connection(connection)
        with pytest.raises(exc.DBAPIError) as error:
            await connection.exec_driver_sql("SELECT nothing FROM nowhere")
        assert error.value.connection_invalidated
    assert first.is_closed()
    assert await open_one(engine) is not first


@on_every_server
async def test_a_disconnect_that_a_handler_calls_none(make: Maker) -> None:
    engine = make(pool_size=1)

    @event.listens_for(engine.sync_engine, "handle_error")
    def no_error_is_one(context: Any) -> None:
        context.is_disconnect = False

    async with engine.connect() as connection:
        await connection.execute(SELECT)
        kill_all(make.store)
        with pytest.raises(exc.DBAPIError) as error:
            await connection.execute(SELECT)
        assert not error.value.connection_invalidated
        assert not connection.invalidated
        await connection.invalidate()


def _refuse(engine: AsyncEngine, refused: list[Any], error: type[exc.DisconnectionError]) -> list[Any]:
    """A checkout listener that refuses these connections; returns those that it lets pass."""
    passed: list[Any] = []

    def listener(dbapi_connection: Any, connection_record: Any, connection_proxy: Any) -> None:
        if dbapi_connection.driver_connection in refused:
            raise error("refused")
        passed.append(dbapi_connection.driver_connection)

    event.listen(engine.sync_engine, "checkout", listener)
    return passed


async def test_a_checkout_listener_refuses_one_connection(make: Maker) -> None:
    engine = make(pool_size=2)
    async with holding(engine, 2) as connections:
        first, second = [await driver_connection(connection) for connection in connections]
    refused = second if not make.is_stock else first
    passed = _refuse(engine, [refused], exc.DisconnectionError)
    got = await open_one(engine)
    assert passed == [got]
    assert refused.is_closed()
    other = first if refused is second else second
    assert not other.is_closed()


async def test_a_checkout_listener_refuses_all_connections(make: Maker) -> None:
    engine = make(pool_size=3)
    async with holding(engine, 3) as connections:
        old = [await driver_connection(connection) for connection in connections]
    _refuse(engine, old, exc.InvalidatePoolError)
    async with holding(engine, 3) as connections:
        new = [await driver_connection(connection) for connection in connections]
    assert not set(old) & set(new)
    await until(lambda: all(connection.is_closed() for connection in old))


async def test_a_checkout_listener_that_refuses_for_ever(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=2)
    tries = []

    def listener(*_: Any) -> None:
        tries.append(1)
        raise exc.DisconnectionError("never")

    event.listen(engine.sync_engine, "checkout", listener)
    with pytest.raises(exc.InvalidRequestError, match="This connection is closed"):
        await engine.connect()
    assert len(tries) == 2
    event.remove(engine.sync_engine, "checkout", listener)
    await at_rest(engine)
    assert engine.pool.checkedout() == 0
    await open_one(engine)


async def test_pool_invalidate_of_one_raw_connection_leaves_the_others(make: Maker) -> None:
    engine = make(pool_size=2)
    async with holding(engine, 2) as connections:
        kept = await driver_connection(connections[0])
        await connections[1].invalidate()
    async with holding(engine, 2) as connections:
        assert kept in [await driver_connection(connection) for connection in connections]
