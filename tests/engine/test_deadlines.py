"""Timers for threads."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

from poolkeeper.engine.deadlines import LoopTimers, ThreadTimers
from poolkeeper.testing import VirtualTimeLoop


def test_timers_fire_in_the_order_of_their_time_and_not_when_cancelled() -> None:
    timers, fired, done = ThreadTimers(), [], threading.Event()
    timers.call_later(0.40, done.set)
    timers.call_later(0.35, lambda: fired.append("late"))
    cancel = timers.call_later(0.30, lambda: fired.append("cancelled"))
    timers.call_later(0.02, lambda: fired.append("early"))
    cancel()
    assert done.wait(5)
    assert fired == ["early", "late"]


def test_thousands_of_cancelled_timers_leave_one_thread_that_sleeps() -> None:
    timers, before = ThreadTimers(), threading.active_count()
    for _ in range(5000):
        timers.call_later(60, lambda: None)()
    assert threading.active_count() == before + 1
    started = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - started < 0.1
    done = threading.Event()
    timers.call_later(0.01, done.set)
    assert done.wait(5)


def test_timers_from_many_threads_all_fire() -> None:
    timers, fired, done = ThreadTimers(), [], threading.Semaphore(0)

    def work() -> None:
        for _ in range(50):
            timers.call_later(0.01, lambda: (fired.append(1), done.release()))

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        assert done.acquire(timeout=5)
    for thread in threads:
        thread.join()
    assert len(fired) == 500


def test_a_child_process_has_timers_of_its_own_and_none_keeps_a_process_alive() -> None:
    script = """
import os, threading
from poolkeeper.engine.deadlines import thread_timers
thread_timers.call_later(3600, print)
if os.fork() == 0:
    done = threading.Event()
    thread_timers.call_later(0.01, done.set)
    os._exit(0 if done.wait(5) else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True, env=dict(os.environ)
    )
    assert result.stdout == "0\n"


def test_an_action_that_fails_stops_no_other() -> None:
    timers, done = ThreadTimers(), threading.Event()

    def fail() -> None:
        raise OSError("no")

    timers.call_later(0.01, fail)
    timers.call_later(0.05, done.set)
    assert done.wait(5)


async def _fire_on_the_loop(timers: LoopTimers) -> list[str]:
    fired: list[str] = []
    timers.call_later(0.06, lambda: fired.append("last"))
    timers.call_later(0.02, lambda: fired.append("first"))
    timers.call_later(0.02, lambda: fired.append("cancelled"))()
    await asyncio.sleep(0.01)
    timers.call_later(0.02, lambda: fired.append("second"))
    await asyncio.sleep(0.15)
    return fired


def test_the_timers_of_a_loop_fire_in_order_and_on_the_next_loop_too() -> None:
    timers = LoopTimers()
    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            assert runner.run(_fire_on_the_loop(timers)) == ["first", "second", "last"]


def test_a_failing_action_keeps_no_other_from_its_time() -> None:
    async def fire() -> list[str]:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        timers, fired = LoopTimers(), []
        timers.call_later(0.01, lambda: 1 / 0)
        timers.call_later(0.01, lambda: fired.append("fired"))
        await asyncio.sleep(0.05)
        return fired

    assert asyncio.run(fire()) == ["fired"]
