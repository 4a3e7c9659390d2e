"""Listeners that fail, connects that fail, holders that forget: the error is the caller's, the place is the pool's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import Any

import pytest
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from tests.pool.stock.pools import (
    SELECT,
    Maker,
    at_rest,
    driver_connection,
    forget_all,
    holding,
    kill_all,
    on_every_driver,
    on_every_server,
    open_one,
    until,
)

pytestmark = pytest.mark.anyio

ONE = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 2}


class ListenerError(Exception):
    """Not known to anybody."""


def fail_once(engine: AsyncEngine, name: str, error: BaseException) -> None:
    errors = [error]

    def listener(*_: Any) -> None:
        if errors:
            raise errors.pop()

    event.listen(engine.sync_engine, name, listener)


@pytest.mark.parametrize("name", ["connect", "first_connect", "checkout"])
@pytest.mark.parametrize(
    "error", [ListenerError("mine"), ValueError("mine"), OSError("mine"), asyncio.CancelledError()]
)
async def test_a_listener_that_fails_while_a_connection_is_taken(make: Maker, name: str, error: BaseException) -> None:
    engine = make(**ONE)
    fail_once(engine, name, error)
    # An error that may pass is tried again by KeeperPool: see the departures.
    expected = pytest.raises(type(error)) if make.is_stock or name == "checkout" else _either(error)
    with expected:
        await open_one(engine)
    assert engine.pool.checkedout() == 0
    async with holding(engine, 1):
        assert len(make.store.connections()) == 1


class _either:
    """The error, or none."""

    def __init__(self, error: BaseException) -> None:
        self._type = type(error)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, self._type)


@pytest.mark.parametrize("name", ["reset", "invalidate", "soft_invalidate", "close"])
async def test_a_listener_that_fails_while_a_connection_is_given_up(make: Maker, name: str) -> None:
    engine = make(**ONE)
    fail_once(engine, name, ListenerError("mine"))
    try:
        async with engine.connect() as connection:
            first = await driver_connection(connection)
            if name in {"invalidate", "close"}:
                await connection.invalidate()
            elif name == "soft_invalidate":
                (await connection.get_raw_connection()).invalidate(soft=True)
    except ListenerError:
        pass
    else:
        assert name == "reset"
    async with holding(engine, 1) as connections:
        assert (await connections[0].execute(SELECT)).scalar() == 1
        # An invalidation that was asked for is not undone by a listener.
        assert (await driver_connection(connections[0]) is first) is (name == "soft_invalidate")


async def test_a_listener_that_fails_in_the_background(make: Maker) -> None:
    """The stock pool lets the next caller have this error; a close in the background logs it."""
    engine = make(**ONE)
    fail_once(engine, "close", ListenerError("mine"))
    async with engine.connect() as connection:
        first = await driver_connection(connection)
        (await connection.get_raw_connection()).invalidate(soft=True)
    with contextlib.suppress(ListenerError):
        await open_one(engine)
    assert await open_one(engine) is not first
    assert first.is_closed()
    assert engine.pool.checkedout() == 0


async def test_a_checkin_listener_that_fails(make: Maker) -> None:
    engine = make(**{**ONE, "pool_timeout": 0.5})
    fail_once(engine, "checkin", ListenerError("mine"))
    with pytest.raises(ListenerError):
        async with engine.connect() as connection:
            first = await driver_connection(connection)
    if make.is_stock:
        # The place is lost for good: KeeperPool departs from that.
        with pytest.raises(exc.TimeoutError):
            await engine.connect()
        await first.close()
    else:
        assert await open_one(engine) is first


async def test_connects_that_fail_lose_no_place(make: Maker) -> None:
    engine = make(**ONE, connect_args={"database": "nowhere"})
    for _ in range(3):
        with pytest.raises(Exception, match='database "nowhere" does not exist') as error:
            await engine.connect()
        assert not isinstance(error.value, exc.TimeoutError)
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (0, 0)


@on_every_server
async def test_the_error_of_a_failed_connect_has_the_same_type(make: Maker) -> None:
    wrong, types = make.store.url.rpartition("/")[0] + "/nowhere/at/all", []
    for pool_class in (AsyncAdaptedQueuePool, make.pool_class):
        engine = make.on(pool_class)(wrong, **ONE)
        with pytest.raises(Exception) as error:
            await engine.connect()
        types.append((type(error.value), type(getattr(error.value, "orig", None))))
    assert types[0] == types[1]


async def test_a_reconnect_that_fails_at_checkout(make: Maker) -> None:
    """A listener has the connection replaced, and the database is away."""
    engine = make(**ONE)
    fail_once(engine, "checkout", exc.DisconnectionError("replace it"))
    connects: list[int] = []

    @event.listens_for(engine.sync_engine, "do_connect")
    def refuse_the_second(*_: Any) -> None:
        connects.append(1)
        if len(connects) == 2:
            raise ConnectionRefusedError("away")

    with pytest.raises(ConnectionRefusedError, match="away"):
        await open_one(engine)
    assert engine.pool.checkedout() == 0
    async with holding(engine, 1):
        assert len(make.store.connections()) == 1


async def test_exhausted(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=0.3)
    async with holding(engine, 1):
        outcomes = await asyncio.gather(*(engine.connect() for _ in range(3)), return_exceptions=True)
    assert [isinstance(outcome, exc.TimeoutError) for outcome in outcomes] == [True] * 3
    assert isinstance(outcomes[0], exc.SQLAlchemyError)
    await open_one(engine)


# What SQLAlchemy cannot close from within the garbage collector, the driver warns of.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@on_every_driver
async def test_a_forgotten_connection_frees_its_place(make: Maker) -> None:
    engine = make(**ONE)
    for _ in range(2):
        holders: list[Any] = [await engine.connect()]
        await holders[0].execute(SELECT)
        with pytest.warns(exc.SAWarning, match="garbage collector is trying to clean up"):
            forget_all(holders)
    await open_one(engine)
    await at_rest(engine)
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (1, 0)


async def test_a_forgotten_connection_serves_who_waits(make: Maker) -> None:
    engine = make(**ONE)
    holders: list[Any] = [await engine.connect()]
    waiting = asyncio.create_task(open_one(engine))
    await asyncio.sleep(0.01)
    with pytest.warns(exc.SAWarning, match="garbage collector is trying to clean up"):
        forget_all(holders)
    await waiting


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_forgotten_engine_takes_its_pool_along(make: Maker) -> None:
    engine = make(**ONE)
    driver = await open_one(engine)
    pool = weakref.ref(engine.pool)
    make.engines.clear()
    del engine
    gc.collect()
    assert pool() is None
    await driver.close()


async def test_a_cancelled_holder_gives_its_connection_back(make: Maker) -> None:
    engine = make(**ONE)

    async def sleep() -> None:
        async with engine.begin() as connection:
            await connection.exec_driver_sql("SELECT pg_sleep(30)")

    task = asyncio.create_task(sleep())
    await until(lambda: engine.pool.checkedout() == 1)
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.pool.checkedout() == 0
    await open_one(engine)
    kill_all(make.store)


async def test_a_cancelled_caller_leaves_no_trace(make: Maker) -> None:
    engine = make(**ONE)
    async with holding(engine, 1):
        waiting = [asyncio.create_task(open_one(engine)) for _ in range(3)]
        await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (1, 0)
    await open_one(engine)
