"""Whom a pool lets wait, for how long, and whom it sends away: by what the caller has waited already, and by whether
anybody is going to return a connection. In virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from poolkeeper.errors import PoolSaturated, PoolTimeout
from poolkeeper.pool import Caller, KeeperPool, current_caller
from poolkeeper.testing.scripted import ScriptedDatabase, VirtualTimeLoop

SIZE = 3
CLIENT_TIMEOUT = 2.0
USABLE = 1.8


def play(scene: Callable[[AsyncEngine], Awaitable[None]], **arguments: Any) -> None:
    async def scenario() -> None:
        given = {"pool_size": SIZE, "max_overflow": 0, "client_timeout": CLIENT_TIMEOUT, **arguments}
        engine = ScriptedDatabase().engine(poolclass=KeeperPool, keepalive=None, **given)
        try:
            await scene(engine)
        finally:
            await engine.dispose()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())


async def hold(engine: AsyncEngine, seconds: float) -> None:
    async with engine.connect():
        await asyncio.sleep(seconds)


async def nested(engine: AsyncEngine, *, before: float = 0.1, inside: float = 0.1) -> None:
    """What a request does that opens a second session inside its first."""
    current_caller.set(Caller())
    async with engine.connect():
        await asyncio.sleep(before)
        async with engine.connect():
            await asyncio.sleep(inside)


async def leak(engine: AsyncEngine, kept: list[Any]) -> None:
    kept.append(await engine.connect())


async def outcomes(*tasks: Awaitable[object]) -> list[BaseException | object]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def refused_after(engine: AsyncEngine) -> tuple[PoolTimeout, float]:
    began = time.monotonic()
    with pytest.raises(PoolTimeout) as refused:
        await engine.connect()
    return refused.value, time.monotonic() - began


def test_the_second_wait_of_a_request_gets_what_is_left_of_its_patience() -> None:
    async def scene(engine: AsyncEngine) -> None:
        holders = [asyncio.create_task(hold(engine, 10)) for _ in range(SIZE)]
        await asyncio.sleep(0.1)
        current_caller.set(Caller())
        await asyncio.sleep(1.5)
        _, waited = await refused_after(engine)
        assert waited == pytest.approx(USABLE - 1.5, abs=0.01)
        for holder in holders:
            holder.cancel()

    play(scene)


def test_who_is_the_first_to_lose_patience_leaves_first() -> None:
    async def scene(engine: AsyncEngine) -> None:
        holders = [asyncio.create_task(hold(engine, 10)) for _ in range(SIZE)]
        await asyncio.sleep(0.1)
        gone: list[str] = []

        async def wait(name: str, caller: Caller | None) -> None:
            current_caller.set(caller)
            await refused_after(engine)
            gone.append(name)

        hasty = Caller()
        await asyncio.sleep(1.0)
        await asyncio.gather(wait("patient", None), wait("hasty", hasty))
        assert gone == ["hasty", "patient"]
        for holder in holders:
            holder.cancel()

    play(scene)


def test_nobody_waits_for_what_goes_on_once_the_answer_has_begun() -> None:
    async def scene(engine: AsyncEngine) -> None:
        for _ in range(100):
            await hold(engine, 0)
        holders = [asyncio.create_task(hold(engine, 2.6)) for _ in range(SIZE)]
        await asyncio.sleep(0.1)
        caller = Caller()
        current_caller.set(caller)
        await asyncio.sleep(1.7)
        caller.answered()
        async with engine.connect():
            pass
        await asyncio.gather(*holders)

    play(scene)


def test_who_is_late_already_still_gets_a_connection_that_nobody_else_needs() -> None:
    async def scene(engine: AsyncEngine) -> None:
        current_caller.set(Caller())
        await asyncio.sleep(CLIENT_TIMEOUT + 1)
        async with engine.connect():
            pass

    play(scene)


def test_a_connection_that_comes_too_late_for_an_answer_goes_to_the_next() -> None:
    async def scene(engine: AsyncEngine) -> None:
        async def late() -> None:
            current_caller.set(Caller())
            await asyncio.sleep(1.0)
            _, waited = await refused_after(engine)
            assert waited == pytest.approx(0.7, abs=0.01)

        async def in_time() -> None:
            await asyncio.sleep(1.2)
            await hold(engine, 0.1)

        async def hold_later() -> None:
            await asyncio.sleep(0.9)
            await hold(engine, 0.8)

        # How long they hold their connections is not known before they return them.
        await asyncio.gather(late(), in_time(), *(hold_later() for _ in range(SIZE)))

    play(scene)


def test_of_requests_that_wait_for_each_other_one_is_refused_at_once_and_the_others_are_served() -> None:
    async def scene(engine: AsyncEngine) -> None:
        began = time.monotonic()
        came = await outcomes(*(nested(engine) for _ in range(4 * SIZE)))
        refused = [one for one in came if one is not None]
        assert all(isinstance(one, PoolSaturated) and one.reason == "nobody-returns" for one in refused)
        # Each round of as many as there are connections costs one of them.
        assert 1 <= len(refused) <= 4
        assert time.monotonic() - began < CLIENT_TIMEOUT

    play(scene)


def test_a_refused_nested_checkout_is_told_what_it_holds_and_what_to_do() -> None:
    async def scene(engine: AsyncEngine) -> None:
        tasks = [asyncio.create_task(nested(engine), name=f"caller {number}") for number in range(SIZE)]
        # The last to ask closes the circle.
        *others, refused = await outcomes(*tasks)
        assert others == [None] * (SIZE - 1)
        assert isinstance(refused, PoolSaturated)
        assert f"this caller holds one (task 'caller {SIZE - 1}' for 0.100 s) and asks for another" in str(refused)
        assert "Pass the session down" in str(refused)

    play(scene)


def test_a_holder_is_told_of_its_nested_checkout_whatever_it_is_refused_for() -> None:
    async def scene(engine: AsyncEngine) -> None:
        holders = [asyncio.create_task(hold(engine, 1)) for _ in range(SIZE - 1)]
        (refused,) = await outcomes(asyncio.create_task(nested(engine)))
        assert isinstance(refused, PoolSaturated)
        assert refused.reason == "max-waiting"
        assert "a nested checkout" in str(refused)
        await asyncio.gather(*holders)

    play(scene, max_waiting=0)


def test_three_times_what_can_be_served_is_answered_at_capacity_and_in_time() -> None:
    async def scene(engine: AsyncEngine) -> None:
        hold_for, seconds = 0.05, 6.0
        capacity = SIZE / hold_for
        served: list[float] = []

        async def ask(due: float) -> None:
            await asyncio.sleep(due)
            current_caller.set(Caller())
            began = time.monotonic()
            with suppress(PoolTimeout):
                await hold(engine, hold_for)
                served.append(time.monotonic())
            assert time.monotonic() - began < CLIENT_TIMEOUT

        began = time.monotonic()
        await asyncio.gather(*(ask(number / (3 * capacity)) for number in range(int(3 * capacity * seconds))))
        assert sum(at - began < seconds for at in served) >= 0.95 * capacity * seconds

    play(scene)


def test_without_a_request_nobody_is_taken_for_deadlocked() -> None:
    """A task may take connections for others, and wait for one that they return."""

    async def scene(engine: AsyncEngine) -> None:
        async def return_later(connection: Any) -> None:
            await asyncio.sleep(0.5)
            await connection.close()

        workers = [asyncio.create_task(return_later(await engine.connect())) for _ in range(3 * SIZE)]
        await asyncio.gather(*workers)

    play(scene)


def test_a_request_that_hands_its_connections_on_may_wait_for_them() -> None:
    async def scene(engine: AsyncEngine) -> None:
        async def return_later(connection: Any) -> None:
            await asyncio.sleep(0.2)
            await connection.close()

        current_caller.set(Caller())
        workers = [asyncio.create_task(return_later(await engine.connect())) for _ in range(2 * SIZE)]
        await asyncio.gather(*workers)

    play(scene)


def test_who_waits_for_leaked_connections_is_told_before_its_patience_ends_and_later_callers_at_once() -> None:
    async def scene(engine: AsyncEngine) -> None:
        kept: list[Any] = []
        await asyncio.gather(*(leak(engine, kept) for _ in range(SIZE)))
        sent_away, waited = await refused_after(engine)
        assert waited < USABLE / 2
        assert "held by a task that has ended without returning it" in str(sent_away)
        assert "timed out" not in str(sent_away)
        error, waited = await refused_after(engine)
        assert isinstance(error, PoolSaturated)
        assert error.reason == "nobody-returns"
        assert waited == 0
        await kept.pop().close()
        await hold(engine, 0)
        for connection in kept:
            await connection.close()

    play(scene)


def test_a_connection_passed_on_by_a_task_that_has_ended_is_no_leak_while_others_are_returned() -> None:
    async def scene(engine: AsyncEngine) -> None:
        kept: list[Any] = []
        await asyncio.gather(*(leak(engine, kept) for _ in range(SIZE - 1)))
        holder = asyncio.create_task(hold(engine, 0.8))
        await asyncio.sleep(0.1)
        await hold(engine, 0)
        await holder
        for connection in kept:
            await connection.close()

    play(scene)
