"""Waiting for a seat: bounded, fair, and without a trace when it is given up."""

import asyncio

import pytest
from sqlalchemy import exc

from poolkeeper.database.door import Door

pytestmark = pytest.mark.anyio


async def test_no_more_are_inside_than_there_are_seats_and_the_first_comes_in_first() -> None:
    door, inside, most, order = Door(3, 10), set(), 0, []

    async def visit(number: int) -> None:
        nonlocal most
        async with door.passed():
            order.append(number)
            inside.add(number)
            most = max(most, len(inside))
            await asyncio.sleep(0)
            inside.discard(number)

    await asyncio.gather(*(visit(number) for number in range(50)))
    assert most == 3
    assert order == sorted(order)
    assert door.waiting == 0


async def test_a_wait_that_is_cancelled_or_times_out_costs_no_seat() -> None:
    door = Door(1, 0.05)
    async with door.passed():
        cancelled = asyncio.create_task(enter(door))
        await asyncio.sleep(0)
        assert door.waiting == 1
        cancelled.cancel()
        with pytest.raises(exc.TimeoutError, match=r"All 1 connections .* in 0\.05 s"):
            await enter(door)
        assert cancelled.cancelled()
    assert door.waiting == 0
    await enter(door)


async def test_a_seat_whose_taker_is_cancelled_at_that_moment_goes_to_the_next() -> None:
    door = Door(1, 10)
    async with door.passed():
        first, second = asyncio.create_task(enter(door)), asyncio.create_task(enter(door))
        await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()


def test_each_event_loop_has_seats_of_its_own() -> None:
    door = Door(1, 10)

    async def crowd() -> None:
        await asyncio.gather(*(enter(door) for _ in range(5)))

    for _ in range(2):
        asyncio.run(crowd())
    assert door.waiting == 0


async def test_without_a_limit_nobody_waits() -> None:
    door = Door(None, 0.01)
    async with door.passed(), door.passed():
        assert door.waiting == 0


@pytest.mark.parametrize("seats", [1, None])
async def test_a_door_that_is_shut_lets_nobody_in(seats: int | None) -> None:
    door = Door(seats, 10)
    async with door.passed():
        door.shut()
        waiting = [asyncio.create_task(enter(door)) for _ in range(3)]
        # Who is inside stays, and may leave.
    await asyncio.wait(waiting, timeout=0.05)
    assert not any(task.done() for task in waiting)
    assert door.waiting == 3
    waiting[0].cancel()
    door.open()
    await asyncio.gather(*waiting[1:])
    assert door.waiting == 0
    await enter(door)


async def test_a_door_is_shut_for_no_longer_than_its_patience() -> None:
    door = Door(1, 0.05)
    door.shut()
    with pytest.raises(exc.TimeoutError, match=r"suspended for longer than 0\.05 s"):
        await enter(door)


async def enter(door: Door) -> None:
    async with door.passed():
        await asyncio.sleep(0)
