"""recreate() and dispose(): the same pool again, without its connections."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from sqlalchemy import Pool, event
from sqlalchemy.pool.base import ResetStyle
from sqlalchemy.util import greenlet_spawn
from tests.pool.stock.pools import SELECT, Maker, driver_connection, holding, on_every_driver, open_one

pytestmark = pytest.mark.anyio


class Observer:
    def notice(self, event: object) -> None: ...


# No two are the same and none is a default, so that nothing can take another's place.
GIVEN: dict[str, Any] = {
    "recycle": 111,
    "echo": "debug",
    "logging_name": "orders",
    "reset_on_return": "commit",
    "pre_ping": "not the default",
    "pool_size": 7,
    "max_overflow": 3,
    "timeout": 4.5,
    "use_lifo": "not the default",
    "min_idle": 2,
    "max_idle": 222.0,
    "max_waiting": 33,
    "client_timeout": 5.5,
    "ping_after": 6.5,
    "ping_timeout": 7.5,
    "keepalive": 44.0,
    "connects_at_once": 9,
    "connect_grace": 8.5,
    "recycle_jitter": 0.3,
    "overflow_linger": 9.5,
    "observer": Observer(),
}
# Passed on as `_dispatch`, which has the listeners that came later too.
CARRIED_BY_DISPATCH = {"events"}
ALWAYS = {"creator", "dialect", "_dispatch"}


def parameters(pool_class: type[Pool]) -> dict[str, inspect.Parameter]:
    """Of the constructor and of those it passes its keywords to."""
    found: dict[str, inspect.Parameter] = {}
    for base in pool_class.__mro__:
        if "__init__" in vars(base) and issubclass(base, Pool):
            found = dict(inspect.signature(base.__init__).parameters) | found
    return {
        name: found[name] for name in found if name != "self" and found[name].kind is not inspect.Parameter.VAR_KEYWORD
    }


def arguments_for(pool_class: type[Pool]) -> dict[str, Any]:
    own = parameters(pool_class)
    names = set(own) - ALWAYS - CARRIED_BY_DISPATCH
    assert names <= set(GIVEN), f"say here what {names - set(GIVEN)} is to be given"
    flags = {name: not own[name].default for name in ("pre_ping", "use_lifo")}
    return {name: GIVEN[name] for name in names} | flags


def remembering(pool_class: type[Pool]) -> tuple[type[Pool], list[dict[str, Any]]]:
    """A subclass that keeps what its constructor is given."""
    calls: list[dict[str, Any]] = []

    class Remembering(pool_class):  # type: ignore[misc, valid-type]
        def __init__(self, creator: Any, **arguments: Any) -> None:
            calls.append({"creator": creator, **arguments})
            super().__init__(creator, **arguments)

    return Remembering, calls


def test_recreate_carries_every_argument(pool_class: type[Pool]) -> None:
    remembered, calls = remembering(pool_class)
    given = arguments_for(pool_class)
    pool = remembered(_creator, **given).recreate().recreate()
    assert type(pool) is remembered
    expected = given | {"reset_on_return": ResetStyle.reset_commit}
    for call in calls[1:]:
        assert call["creator"] is _creator
        assert {name: call.get(name, "not carried") for name in expected} == expected
        assert set(call) <= set(parameters(pool_class)) | ALWAYS
    assert (pool.size(), pool.timeout(), pool.echo, pool.logging_name) == (7, 4.5, "debug", "orders")


def _creator() -> Any:
    raise NotImplementedError


def test_recreate_carries_the_listeners(pool_class: type[Pool]) -> None:
    pool = pool_class(_creator, events=[(_listener, "checkin")])
    event.listen(pool, "checkout", _listener)
    again = pool.recreate()
    assert again is not pool
    assert event.contains(again, "checkout", _listener) or list(again.dispatch.checkout) == [_listener]
    assert list(again.dispatch.checkin) == [_listener]


def _listener(*_: object) -> None: ...


@on_every_driver
async def test_the_engine_goes_on_after_dispose(make: Maker) -> None:
    engine = make(pool_size=2, pool_timeout=4)
    heard: list[str] = []
    event.listen(engine.sync_engine, "connect", lambda *_: heard.append("connect"))
    event.listen(engine.sync_engine, "close", lambda *_: heard.append("close"))
    old, before = engine.pool, await open_one(engine)
    await engine.dispose()
    assert engine.pool is not old
    assert type(engine.pool) is make.pool_class
    assert (engine.pool.size(), engine.pool.timeout()) == (2, 4)
    assert await open_one(engine) is not before
    assert heard == ["connect", "close", "connect"]


async def test_idle_connections_are_closed_when_dispose_ends(make: Maker) -> None:
    engine = make(pool_size=3)
    async with holding(engine, 3) as connections:
        held = [await driver_connection(connection) for connection in connections]
    await engine.dispose()
    assert [connection.is_closed() for connection in held] == [True] * 3
    await engine.dispose()


async def test_dispose_without_a_use(make: Maker) -> None:
    engine = make()
    await engine.dispose()
    await engine.dispose()
    assert make.store.connections() == []


async def test_dispose_without_close_leaves_the_old_pool_whole(make: Maker) -> None:
    engine = make()
    old, idle = engine.pool, await open_one(engine)
    await engine.dispose(close=False)
    assert engine.pool is not old
    assert (old.checkedin(), engine.pool.checkedin()) == (1, 0)
    assert not idle.is_closed()
    assert await open_one(engine) is not idle
    await greenlet_spawn(old.dispose)
    assert idle.is_closed()


async def test_a_disposed_pool_may_be_used_again(make: Maker) -> None:
    pool = make(pool_size=1).pool
    for _ in range(2):
        proxy = await greenlet_spawn(pool.connect)
        await greenlet_spawn(proxy.close)
        assert pool.checkedin() == 1
        await greenlet_spawn(pool.dispose)
        assert pool.checkedin() == 0


async def test_dispose_while_others_wait(make: Maker) -> None:
    """Who waits on the old pool is served by it when something comes back."""
    engine = make(pool_size=1, max_overflow=0, pool_timeout=3)
    async with engine.connect() as first:
        await first.execute(SELECT)
        old = engine.pool
        task = asyncio.create_task(greenlet_spawn(old.connect))
        await asyncio.sleep(0.01)
        await engine.dispose()
    proxy = await task
    assert proxy.is_valid
    await greenlet_spawn(proxy.close)
    await greenlet_spawn(old.dispose)


async def test_pools_are_not_equal_and_have_a_repr(make: Maker) -> None:
    engine = make()
    again = engine.pool.recreate()
    assert again != engine.pool
    assert make.pool_class.__name__ in repr(engine.pool)
    assert repr(engine).startswith("<sqlalchemy.ext.asyncio.engine.AsyncEngine")
