"""Short lives of connections: each is run on both pools, and what the pools say about it is compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn
from tests.database.stores import Store
from tests.pool.stock.pools import SELECT, at_rest, forget_all, kill_all, open_one

Script = Callable[[AsyncEngine, Store], Awaitable[None]]


async def use_twice(engine: AsyncEngine, store: Store) -> None:
    for _ in range(2):
        await open_one(engine)


async def commit_and_roll_back(engine: AsyncEngine, store: Store) -> None:
    async with engine.begin() as connection:
        await connection.execute(SELECT)
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        await connection.rollback()
    async with engine.connect() as connection:
        await connection.execute(SELECT)


async def raw(engine: AsyncEngine, store: Store) -> None:
    connection = await engine.raw_connection()
    await greenlet_spawn(connection.close)


async def invalidate(engine: AsyncEngine, store: Store) -> None:
    async with engine.connect() as connection:
        await connection.invalidate()
    await open_one(engine)


async def invalidate_with_a_reason(engine: AsyncEngine, store: Store) -> None:
    async with engine.connect() as connection:
        await connection.invalidate(ZeroDivisionError())
        # The same connection object goes on with another connection.
        await connection.execute(SELECT)


async def invalidate_raw(engine: AsyncEngine, store: Store) -> None:
    connection = await engine.raw_connection()
    await greenlet_spawn(connection.invalidate, ValueError("enough"))
    await greenlet_spawn(connection.close)
    await open_one(engine)


async def invalidate_softly(engine: AsyncEngine, store: Store) -> None:
    async with engine.connect() as connection:
        proxy = await connection.get_raw_connection()
        proxy.invalidate(ValueError("later"), soft=True)
        await connection.execute(SELECT)
    await at_rest(engine)
    await open_one(engine)


async def detach(engine: AsyncEngine, store: Store) -> None:
    connection = await engine.raw_connection()
    connection.detach()
    await greenlet_spawn(connection.close)
    await open_one(engine)


async def detach_inside(engine: AsyncEngine, store: Store) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: sync.detach())
        await connection.execute(SELECT)
    await open_one(engine)


async def forget(engine: AsyncEngine, store: Store) -> None:
    holders = [await engine.connect()]
    await holders[0].execute(SELECT)
    with pytest.warns(exc.SAWarning, match="garbage collector is trying to clean up non-checked-in connection"):
        forget_all(holders)
    await open_one(engine)


async def dispose(engine: AsyncEngine, store: Store) -> None:
    await open_one(engine)
    await engine.dispose()
    await open_one(engine)
    await engine.dispose()


async def lose_in_use(engine: AsyncEngine, store: Store) -> None:
    with pytest.raises(exc.DBAPIError) as error:
        async with engine.connect() as connection:
            await connection.execute(SELECT)
            kill_all(store)
            await connection.execute(SELECT)
    assert error.value.connection_invalidated
    await open_one(engine)


async def fail_a_statement(engine: AsyncEngine, store: Store) -> None:
    with pytest.raises(exc.DBAPIError):
        async with engine.begin() as connection:
            await connection.exec_driver_sql("SELECT nothing FROM nowhere")
    await open_one(engine)


def _raise_once(engine: AsyncEngine, name: str, error: BaseException) -> None:
    errors = [error]

    def listener(*_: Any) -> None:
        if errors:
            raise errors.pop()

    event.listen(engine.sync_engine, name, listener)


async def disconnected_at_checkout(engine: AsyncEngine, store: Store) -> None:
    _raise_once(engine, "checkout", exc.DisconnectionError("look again"))
    await open_one(engine)
    await open_one(engine)


async def pool_invalidated_at_checkout(engine: AsyncEngine, store: Store) -> None:
    _raise_once(engine, "checkout", exc.InvalidatePoolError("all of them"))
    await open_one(engine)
    await open_one(engine)


async def refuse_every_checkout(engine: AsyncEngine, store: Store) -> None:
    def listener(*_: Any) -> None:
        raise exc.DisconnectionError("never")

    event.listen(engine.sync_engine, "checkout", listener)
    with pytest.raises(exc.InvalidRequestError, match="This connection is closed"):
        await engine.connect()
    event.remove(engine.sync_engine, "checkout", listener)
    await open_one(engine)


def _fail_once(name: str) -> Script:
    async def script(engine: AsyncEngine, store: Store) -> None:
        _raise_once(engine, name, ZeroDivisionError("a listener failed"))
        with pytest.raises(ZeroDivisionError, match="a listener failed"):
            await open_one(engine)
        await open_one(engine)

    script.__name__ = f"fail_in_{name}"
    return script


async def fail_in_reset(engine: AsyncEngine, store: Store) -> None:
    _raise_once(engine, "reset", ZeroDivisionError("a listener failed"))
    await open_one(engine)
    await open_one(engine)


fail_in_connect, fail_in_checkout = _fail_once("connect"), _fail_once("checkout")
SCRIPTS: list[Script] = [
    use_twice,
    commit_and_roll_back,
    raw,
    invalidate,
    invalidate_with_a_reason,
    invalidate_raw,
    invalidate_softly,
    detach,
    detach_inside,
    forget,
    dispose,
    lose_in_use,
    fail_a_statement,
    disconnected_at_checkout,
    pool_invalidated_at_checkout,
    refuse_every_checkout,
    fail_in_connect,
    fail_in_checkout,
    fail_in_reset,
]
