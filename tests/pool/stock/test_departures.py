"""Where KeeperPool departs from the stock pool on purpose: what the stock pool does, what ours does instead, and why.

docs/decisions/differences-from-the-stock-pool.md has the table; nothing else may differ.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import ContextVar
from typing import Any

import pytest
from sqlalchemy import event, exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool
from sqlalchemy.util import greenlet_spawn
from tests.pool.stock.pools import (
    SELECT,
    KeeperPool,
    Maker,
    at_rest,
    driver_connection,
    holding,
    kill_all,
    open_one,
    until,
)
from tests.pool.stock.recorder import Recorder, pool_log
from tests.pool.stock.test_recreate import parameters

from poolkeeper.errors import PoolTimeout

pytestmark = pytest.mark.anyio

DEFAULTS_THAT_DIFFER = {
    "use_lifo": "connections that are not needed fall idle, and can be closed",
    "pre_ping": "it costs a round trip only after silence, so there is no reason to go without",
}


def test_every_parameter_of_the_stock_pool_is_there_with_its_default() -> None:
    stock, ours = parameters(AsyncAdaptedQueuePool), parameters(KeeperPool)
    assert set(stock) <= set(ours)
    differ = {name for name in stock if stock[name].default != ours[name].default}
    assert differ == set(DEFAULTS_THAT_DIFFER)


def test_arguments_have_the_same_places() -> None:
    names = [list(inspect.signature(pool).parameters)[:5] for pool in (AsyncAdaptedQueuePool, KeeperPool)]
    assert names == [["creator", "pool_size", "max_overflow", "timeout", "use_lifo"]] * 2


def test_every_method_of_the_stock_pool_is_there() -> None:
    public = [name for name in dir(AsyncAdaptedQueuePool) if not name.startswith("_")]
    assert [name for name in public if not hasattr(KeeperPool, name)] == []
    for name in ("connect", "dispose", "recreate", "status", "size", "timeout", "checkedin", "overflow", "checkedout"):
        stock, ours = (inspect.signature(getattr(pool, name)) for pool in (AsyncAdaptedQueuePool, KeeperPool))
        assert list(stock.parameters) == list(ours.parameters)


async def test_overflow_lingers_before_it_is_closed(make: Maker) -> None:
    """Bursts come in series, and connecting anew each time is the dearest thing a pool does."""
    settings = {} if make.is_stock else {"overflow_linger": 0.1}
    engine = make(pool_size=1, max_overflow=2, **settings)
    async with holding(engine, 3):
        pass
    assert (engine.pool.checkedin(), engine.pool.overflow()) == ((1, 0) if make.is_stock else (3, 2))
    await until(lambda: (engine.pool.checkedin(), engine.pool.overflow()) == (1, 0))


async def test_overflow_that_may_not_linger_is_closed_at_return(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=2, **({} if make.is_stock else {"overflow_linger": 0}))
    connections = [await engine.connect() for _ in range(3)]
    steps = []
    for connection in connections:
        await connection.close()
        await at_rest(engine)
        steps.append((engine.pool.checkedin(), engine.pool.checkedout(), engine.pool.overflow()))
    assert steps == [(1, 2, 2), (1, 1, 1), (1, 0, 0)]
    async with holding(engine, 1) as (connection,):
        waiting = [asyncio.create_task(open_one(engine)) for _ in range(3)]
        await asyncio.gather(*waiting)
        assert (await connection.execute(SELECT)).scalar() == 1


async def test_the_last_returned_is_the_next_handed_out(make: Maker) -> None:
    engine = make(pool_size=2)
    async with holding(engine, 2) as connections:
        handed = [await driver_connection(connection) for connection in connections]
    assert handed.index(await open_one(engine)) == (0 if make.is_stock else 1)


async def test_idle_connections_are_closed(make: Maker) -> None:
    """Databases that sleep, and limits that are shared with others."""
    engine = make(pool_size=2, **({} if make.is_stock else {"max_idle": 0.05}))
    async with holding(engine, 2):
        pass
    if make.is_stock:
        await asyncio.sleep(0.15)
        assert engine.pool.checkedin() == 2
    else:
        await until(lambda: engine.pool.checkedin() == 0)


async def test_after_one_disconnect_the_others_are_asked(make: Maker) -> None:
    """One ended session is no reason to close them all."""
    engine = make(pool_size=2)
    async with holding(engine, 2) as connections:
        kept = await driver_connection(connections[0])
        number = (await connections[1].exec_driver_sql("SELECT pg_backend_pid()")).scalar()
        make.store.server.end(number)
        with pytest.raises(exc.DBAPIError):
            await connections[1].execute(SELECT)
        await connections[1].rollback()
    async with holding(engine, 2) as connections:
        again = [await driver_connection(connection) for connection in connections]
    assert (kept in again) is not make.is_stock


async def test_dead_connections_are_found_without_pre_ping(make: Maker) -> None:
    """A look at the socket costs no round trip."""
    engine = make(pool_size=1, pool_pre_ping=False)
    await open_one(engine)
    kill_all(make.store)
    if make.is_stock:
        with pytest.raises(exc.DBAPIError):
            await open_one(engine)
    await open_one(engine)


@pytest.mark.parametrize("ping_after", [0, 2.0])
async def test_pre_ping_spares_those_who_just_spoke(make: Maker, ping_after: float) -> None:
    engine = make(pool_size=1, pool_pre_ping=True, **({} if make.is_stock else {"ping_after": ping_after}))
    pings: list[Any] = []
    dialect = engine.sync_engine.dialect
    ping = dialect.do_ping
    dialect.do_ping = lambda connection: pings.append(connection) or ping(connection)
    for _ in range(3):
        await open_one(engine)
    assert len(pings) == (2 if make.is_stock or not ping_after else 0)


async def test_pings_come_before_the_checkout(make: Maker) -> None:
    """They are the pool's own work; the stock pool pings what it has handed out."""
    engine = make(pool_size=1, pool_pre_ping=True, **({} if make.is_stock else {"ping_after": 0}))
    with pool_log(logging.DEBUG) as log:
        await open_one(engine)
        await open_one(engine)
    ping = next(number for number, line in enumerate(log.lines) if "Pool pre-ping on connection" in line)
    assert ("checked out" in log.lines[ping - 1]) is make.is_stock
    assert any("is fresh, skipping pre-ping" in line for line in log.lines) is make.is_stock


@pytest.mark.parametrize("ping_after", [0, 2.0])
async def test_what_is_found_dead_is_invalidated(make: Maker, ping_after: float) -> None:
    """With a DisconnectionError; the stock pool's kind of it invalidates the whole pool."""
    engine = make(pool_size=2, pool_pre_ping=True, **({} if make.is_stock else {"ping_after": ping_after}))
    reasons: list[type[BaseException]] = []
    event.listen(engine.sync_engine, "invalidate", lambda _, __, error: reasons.append(type(error)))
    async with holding(engine, 2):
        pass
    kill_all(make.store)
    async with holding(engine, 2):
        pass
    assert reasons == ([exc.InvalidatePoolError] if make.is_stock else [exc.DisconnectionError] * 2)


request_id: ContextVar[str] = ContextVar("request_id", default="nobody's")


async def test_connect_listeners_run_in_the_pools_context(make: Maker) -> None:
    """A connection outlives the request that it was opened for, and may serve another one first."""
    engine = make(pool_size=1)
    seen: dict[str, str] = {}
    for name in ("connect", "checkout", "checkin"):
        event.listen(engine.sync_engine, name, lambda *_, name=name: seen.update({name: request_id.get()}))
    request_id.set("ours")
    await open_one(engine)
    assert seen == {"connect": "ours" if make.is_stock else "nobody's", "checkout": "ours", "checkin": "ours"}


async def test_expired_connections_are_replaced_before_anybody_asks(make: Maker) -> None:
    engine = make(pool_size=1, pool_recycle=0.2)
    recorder = Recorder(engine)
    await open_one(engine)
    expected = ["first_connect", "connect", "checkout", "reset", "checkin"]
    if make.is_stock:
        await asyncio.sleep(0.3)
        assert recorder.names == expected
    else:
        await until(lambda: recorder.names[:7] == [*expected, "close", "connect"])


async def test_connecting_is_within_the_timeout(make: Maker) -> None:
    engine = make(pool_size=1, pool_timeout=0.3)
    blocked = asyncio.Event()

    async def slow(*_: Any) -> None:
        await asyncio.wait_for(blocked.wait(), 0.6 if make.is_stock else 5)

    @event.listens_for(engine.sync_engine, "connect")
    def listener(dbapi_connection: Any, connection_record: Any) -> None:
        dbapi_connection.run_async(slow)

    with pytest.raises(TimeoutError if make.is_stock else PoolTimeout):
        await open_one(engine)
    blocked.set()
    await open_one(engine)


async def test_a_lost_connection_is_not_counted_as_idle(make: Maker) -> None:
    """The stock pool counts places, with or without a connection; what is reported here can be handed out."""
    engine = make(pool_size=2)
    async with engine.connect() as connection:
        await connection.invalidate()
    assert (engine.pool.checkedin(), engine.pool.overflow()) == ((1, -1) if make.is_stock else (0, -2))


async def test_a_connection_that_returns_to_a_disposed_pool_is_closed(make: Maker) -> None:
    """The stock pool keeps it until it is collected, when nobody can close it any more."""
    engine = make(pool_size=1)
    old = engine.pool
    async with engine.connect() as connection:
        driver = await driver_connection(connection)
        await engine.dispose()
    if make.is_stock:
        assert (driver.is_closed(), old.checkedin()) == (False, 1)
        await greenlet_spawn(old.dispose)
    await until(driver.is_closed)


async def test_the_words_of_a_timeout(make: Maker) -> None:
    """Ours begin with the pool's own name, and tell the moment."""
    engine = make(pool_size=1, max_overflow=0, pool_timeout=0.3)
    async with holding(engine, 1):
        with pytest.raises(exc.TimeoutError) as error:
            await engine.connect()
    words = "limit of size 1 overflow 0 reached, connection timed out, timeout 0.30"
    name = "QueuePool" if make.is_stock else "KeeperPool"
    assert str(error.value).startswith(f"{name} {words}")
    assert ("1 in use, 0 idle" in str(error.value)) is not make.is_stock


async def test_a_connect_that_may_succeed_later_is_tried_again(make: Maker) -> None:
    """A restart of a second should fail nobody."""
    engine = make(pool_size=1)
    errors = [ConnectionRefusedError("not yet")]

    @event.listens_for(engine.sync_engine, "do_connect")
    def refuse_once(*_: Any) -> None:
        if errors:
            raise errors.pop()

    if make.is_stock:
        with pytest.raises(ConnectionRefusedError):
            await open_one(engine)
    await open_one(engine)


async def test_a_pool_that_tolerates_no_outage_gives_its_error_at_once(make: Maker) -> None:
    engine = make(pool_size=1, **({} if make.is_stock else {"connect_grace": 0}))
    errors = [ConnectionRefusedError("not yet")]

    @event.listens_for(engine.sync_engine, "do_connect")
    def refuse_once(*_: Any) -> None:
        if errors:
            raise errors.pop()

    with pytest.raises(ConnectionRefusedError, match="not yet"):
        await open_one(engine)
    await open_one(engine)


async def test_first_come_first_served(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=5)
    served: list[str] = []

    async def use(name: str) -> None:
        async with engine.connect():
            served.append(name)

    first = await engine.connect()
    waiting = [asyncio.create_task(use("waiter"))]
    await asyncio.sleep(0.02)
    await first.close()
    # It comes after the waiter, but runs before it is awake.
    waiting.append(asyncio.create_task(use("newcomer")))
    await asyncio.gather(*waiting)
    assert served == ["waiter", "newcomer"] or make.is_stock


def test_a_pool_on_its_own_needs_a_dialect(pool_class: type[Pool]) -> None:
    """What connections can be asked for depends on their driver."""

    async def connect() -> None:
        await greenlet_spawn(pool_class(lambda: object()).connect)

    if pool_class is KeeperPool:
        with pytest.raises(exc.ArgumentError, match="dialect="):
            asyncio.run(connect())
