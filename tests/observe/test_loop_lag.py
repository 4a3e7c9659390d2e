"""A blocked event loop is noticed, and the line that blocks it named."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import uvloop
from sqlalchemy import text
from tests.database.stores import AIOSQLITE, POSTGRESQL, Store, on

from poolkeeper.observe import LagWatch, loop_lag
from poolkeeper.observe.loop_lag import EVERY, LATE, _Watchdog

LOOPS = pytest.mark.parametrize(
    "loop",
    [asyncio.new_event_loop, pytest.param(uvloop.new_event_loop, marks=pytest.mark.slow)],
    ids=["asyncio", "uvloop"],
)
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


def test_each_long_block_is_counted_whatever_blocks() -> None:
    def work() -> None:
        end = time.thread_time() + 0.4
        while time.thread_time() < end:
            pass

    async def blocked() -> None:
        watch = LagWatch()
        watch.begin()
        await asyncio.sleep(1.5 * EVERY)
        for block in (block_the_loop, work):
            block()
            await asyncio.sleep(1.5 * EVERY)
        lag = watch.lag(time.monotonic())
        assert lag is not None
        assert lag.late == 2

    asyncio.run(blocked())


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux tells how long a thread waited for a CPU")
def test_what_a_busy_machine_makes_late_is_not_counted() -> None:
    """Twelve others want the one CPU that the loop's thread may use."""

    async def starved() -> None:
        watch = LagWatch()
        watch.begin()
        await asyncio.sleep(1.5 * EVERY)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            work = time.thread_time() + 0.02
            while time.thread_time() < work:
                pass
            await asyncio.sleep(0)
        lag = watch.lag(time.monotonic())
        assert lag is not None
        assert lag.recent >= LATE
        assert lag.late == 0

    allowed = os.sched_getaffinity(0)
    burns = f"import os; os.sched_setaffinity(0, {{{min(allowed)}}})\nwhile True: pass"
    with ExitStack() as stack:
        for _ in range(12):
            burning = stack.enter_context(subprocess.Popen([sys.executable, "-c", burns]))
            stack.callback(burning.kill)
        os.sched_setaffinity(0, {min(allowed)})
        stack.callback(os.sched_setaffinity, 0, allowed)
        asyncio.run(starved())


def assert_blocked(watch: LagWatch) -> None:
    lag = watch.lag(time.monotonic())
    assert lag is not None
    assert 0.4 < lag.recent < 10
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
