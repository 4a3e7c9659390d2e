"""A blocked event loop is noticed, and the line that blocks it named."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable

import pytest
import uvloop
from sqlalchemy import text
from tests.database.stores import AIOSQLITE, POSTGRESQL, Store, on

from poolkeeper.observe import LagWatch, loop_lag
from poolkeeper.observe.loop_lag import EVERY, _Watchdog

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
Loop = Callable[[], asyncio.AbstractEventLoop]


def block_the_loop() -> None:
    time.sleep(0.6)


@LOOPS
def test_a_blocked_loop_is_late_and_its_line_is_named(loop: Loop) -> None:
    async def blocked() -> None:
        watch = LagWatch()
        watch.begin()
        await asyncio.sleep(2.5 * EVERY)
        lag = watch.lag(time.monotonic())
        assert lag is not None
        assert lag.lags.count >= 1
        assert lag.blocked_at is None
        block_the_loop()
        # At once, not only after the next probe.
        assert_blocked(watch)
        await asyncio.sleep(2 * EVERY)
        assert_blocked(watch)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(blocked())


def assert_blocked(watch: LagWatch) -> None:
    lag = watch.lag(time.monotonic())
    assert lag is not None
    assert 0.4 < lag.recent < 5
    assert lag.blocked_at is not None
    assert lag.blocked_at.startswith("observe/test_loop_lag.py:")
    assert lag.blocked_at.endswith("in block_the_loop")


@pytest.mark.anyio
@on(POSTGRESQL[0])
async def test_a_line_inside_a_sessions_greenlet_is_named(store: Store) -> None:
    async with store.make() as database:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
            await session.run_sync(lambda _: block_the_loop())
        lag = database.snapshot().loop_lag
        assert lag is not None
        assert lag.blocked_at is not None
        assert lag.blocked_at.endswith("in block_the_loop")


@pytest.mark.anyio
@on(AIOSQLITE[0])
async def test_the_probe_begins_with_the_first_connection_and_ends_with_the_database(store: Store) -> None:
    database = store.make()
    assert database.snapshot().loop_lag is None
    async with database.session() as session:
        await session.execute(text("SELECT 1"))
    assert database.snapshot().loop_lag is not None
    await database.close()
    assert database.snapshot().loop_lag is None


def test_a_loop_that_does_not_run_is_not_late() -> None:
    watch = LagWatch()

    async def begin() -> None:
        watch.begin()

    with asyncio.Runner() as runner:
        runner.run(begin())
        time.sleep(4 * EVERY)
        runner.run(asyncio.sleep(2.5 * EVERY))
        lag = watch.lag(time.monotonic())
        assert lag is not None
        assert lag.recent < 2 * EVERY


def test_one_loop_has_one_probe_and_nothing_is_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # One that no loop of another test keeps alive.
    watchdog = _Watchdog()
    monkeypatch.setattr(loop_lag, "_watchdog", watchdog)

    async def begin() -> weakref.ref[object]:
        first, second = LagWatch(), LagWatch()
        first.begin()
        second.begin()
        assert first._probe is second._probe
        return weakref.ref(first._probe)

    probe = asyncio.run(begin())
    gc.collect()
    assert probe() is None
    for _ in range(50):
        if watchdog._thread is None:
            return
        time.sleep(EVERY)
    pytest.fail("the thread that looks at loops has not ended")
