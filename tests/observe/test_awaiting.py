"""What a task awaits is followed through whatever stands between it and the tasks that do the work."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest
import uvloop

from poolkeeper.observe.awaiting import awaiting

HERE = "observe/test_awaiting.py"
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
Loop = Callable[[], asyncio.AbstractEventLoop]
Use = Callable[[], Coroutine[Any, Any, object]]


async def calls_out() -> None:
    await asyncio.sleep(30)


async def charges() -> None:
    await calls_out()


async def is_quick() -> None:
    pass


async def gathers() -> None:
    await asyncio.gather(is_quick(), charges(), calls_out())


async def gathers_twice() -> None:
    await asyncio.gather(asyncio.gather(charges()), asyncio.shield(calls_out()))


async def shields() -> None:
    await asyncio.shield(charges())


async def waits_for() -> None:
    await asyncio.wait_for(charges(), 30)


async def waits() -> None:
    await asyncio.wait({asyncio.create_task(charges())}, timeout=30)


async def groups() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(charges())


async def groups_with_anyio() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(charges)


async def mixes() -> None:
    await asyncio.wait_for(asyncio.gather(asyncio.shield(asyncio.create_task(charges()))), 30)


ALL: tuple[Use, ...] = (gathers, gathers_twice, shields, waits_for, waits, groups, groups_with_anyio, mixes)


async def rest() -> None:
    """Let the tasks that were started come to what they wait for."""
    for _ in range(20):
        await asyncio.sleep(0)


async def chain_of(use: Use) -> tuple[str, ...]:
    """What a task of this is found to await, once it has come to a rest."""
    task = asyncio.get_running_loop().create_task(use())
    await rest()
    try:
        return awaiting(task)
    finally:
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(0)


def own(chain: tuple[str, ...]) -> list[str]:
    return [call.rpartition(" ")[2] for call in chain if call.startswith(HERE)]


@LOOPS
@pytest.mark.parametrize("use", ALL, ids=lambda use: use.__name__)
def test_the_chain_goes_on_in_the_tasks_that_are_waited_for(loop: Loop, use: Use) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        chain = runner.run(chain_of(use))
    assert own(chain) == [use.__name__, "charges", "calls_out"], chain
    assert chain[-1].startswith("asyncio/tasks.py")


def test_tasks_that_await_each_other_have_an_end() -> None:
    async def first(known: dict[str, asyncio.Task[Any]]) -> None:
        await asyncio.sleep(0)
        await asyncio.gather(asyncio.shield(known["second"]))

    async def second(known: dict[str, asyncio.Task[Any]]) -> None:
        await asyncio.sleep(0)
        await asyncio.wait({known["first"]})

    async def ring() -> tuple[str, ...]:
        known: dict[str, asyncio.Task[Any]] = {}
        known["first"] = asyncio.create_task(first(known))
        known["second"] = asyncio.create_task(second(known))
        await rest()
        chain = awaiting(known["first"])
        known["second"].cancel()
        await asyncio.wait({*known.values()})
        known.clear()
        return chain

    chain = asyncio.run(ring())
    assert own(chain) == ["first", "second"]
    gc.collect()


async def waits_for_nothing_known(future: Awaitable[object]) -> None:
    await future


def test_a_future_on_its_own_ends_the_chain() -> None:
    async def look() -> tuple[str, ...]:
        return await chain_of(lambda: waits_for_nothing_known(asyncio.get_running_loop().create_future()))

    assert own(asyncio.run(look())) == ["waits_for_nothing_known"]


def test_a_future_of_another_make_ends_the_chain() -> None:
    class Odd(asyncio.Future[None]):
        @property
        def _children(self) -> object:
            raise RuntimeError("not for you")

    async def look() -> tuple[str, ...]:
        return await chain_of(lambda: waits_for_nothing_known(Odd()))

    assert own(asyncio.run(look())) == ["waits_for_nothing_known"]


def test_tasks_that_come_and_go_are_looked_at_from_another_thread() -> None:
    may_end = threading.Event()

    async def busy() -> None:
        while not may_end.is_set():
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(asyncio.sleep(0.0002))

    async def run(ready: list[asyncio.Task[None]]) -> None:
        ready.append(asyncio.create_task(busy()))
        await ready[0]

    ready: list[asyncio.Task[None]] = []
    thread = threading.Thread(target=lambda: asyncio.run(run(ready)))
    thread.start()
    try:
        while not ready:
            may_end.wait(0.001)
        chains = [awaiting(ready[0]) for _ in range(2000)]
    finally:
        may_end.set()
        thread.join()
    assert any("in busy" in chain[0] for chain in chains if chain)
