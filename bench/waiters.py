"""Thousands of callers of one pool, in a process of their own: prints as JSON what they cost.

Usage: python -m bench.waiters POOL URL WAITERS asyncio|uvloop time|memory|traced
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg_pool
import uvloop
from bench.pools import Make, Pool, keeper, keeper_pool_of, of_asyncpg, of_psycopg, stock
from sqlalchemy import exc
from sqlalchemy.util import await_only, greenlet_spawn

from poolkeeper.pool import KeeperPool

POOLS: dict[str, Make] = {
    "stock": lambda url, **options: stock(url, pool_pre_ping=False, **options),
    "keeper": keeper,
    "asyncpg": lambda url, **options: of_asyncpg(url, resets=False, **options),
    "psycopg": lambda url, **options: of_psycopg(url, check=False, **options),
    # Not for its connections, but for what any caller costs before a pool does anything.
    "task": keeper,
    "greenlet": keeper,
}
SIZE = 10
# Long enough to park everybody and to be calm before the first time is up.
PATIENCE = 2.0
# KeeperPool refuses at once whom it could not serve in time, and thousands behind ten connections soon are.
ENDLESS = 3600.0
CALM = 0.3
TURNS_TO_PARK = 5
TIMED_OUT = (exc.TimeoutError, asyncio.TimeoutError, psycopg_pool.PoolTimeout)
PAGE = resource.getpagesize()


@dataclass
class Costs:
    """Microseconds of the processor per waiter; the longest the loop stood still, in ms; KiB per parked waiter."""

    park: float = 0.0
    serve: float = 0.0
    expire: float = 0.0
    stall: float = 0.0
    memory: float = 0.0


class Ticker:
    """Notes how long the event loop stood still."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest = max(self.longest, now - before - 0.001)
            before = now

    async def stop(self) -> float:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        return self.longest * 1000


class Crowd:
    """A pool whose connections are all taken, and those who wait for one."""

    def __init__(self, pool: Pool, number: int) -> None:
        self.pool, self.number = pool, number
        self.held: list[Any] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.served = self.expired = 0

    async def take_all(self) -> None:
        self.held = [await self.pool.take() for _ in range(SIZE)]

    async def shut(self) -> None:
        """Have nobody served. A suspended KeeperPool lets everybody wait: it cannot know for how long."""
        if self.pool.own_engine is not None and isinstance(self.pool.engine.sync_engine.pool, KeeperPool):
            keeper_pool_of(self.pool).suspend()
        else:
            await self.take_all()

    async def release(self) -> None:
        for connection in self.held:
            await self.pool.give_back(connection)

    async def caller(self) -> None:
        try:
            connection = await self.pool.take()
        except TIMED_OUT:
            self.expired += 1
            return
        self.served += 1
        await self.pool.give_back(connection)

    async def park(self, caller: Callable[[], Any] | None = None) -> float:
        """Microseconds until everybody waits."""
        begin = caller or self.caller
        began = time.process_time()
        self.tasks = [asyncio.create_task(begin()) for _ in range(self.number)]
        for _ in range(TURNS_TO_PARK):
            await asyncio.sleep(0)
        return self.each(began)

    async def gone(self) -> None:
        await asyncio.gather(*self.tasks)
        self.tasks.clear()

    def each(self, began: float) -> float:
        return (time.process_time() - began) / self.number * 1e6


async def served(pool: Pool, number: int, costs: Costs) -> None:
    crowd = Crowd(pool, number)
    await crowd.take_all()
    costs.park = await crowd.park()
    began = time.process_time()
    await crowd.release()
    await crowd.gone()
    costs.serve = crowd.each(began)
    assert crowd.served == number, crowd.served


async def expired(pool: Pool, number: int, costs: Costs) -> None:
    crowd = Crowd(pool, number)
    await crowd.shut()
    parked = time.perf_counter()
    await crowd.park()
    await asyncio.sleep(parked + PATIENCE - CALM - time.perf_counter())
    ticker = Ticker()
    began = time.process_time()
    await crowd.gone()
    costs.expire = crowd.each(began)
    costs.stall = await ticker.stop()
    assert crowd.expired == number, crowd.expired
    await crowd.release()


async def memory_of(pool: Pool, number: int, costs: Costs, read: Callable[[], int], name: str) -> None:
    crowd, gates = Crowd(pool, number), Gates()
    await crowd.take_all()
    gc.collect()
    before = read()
    await crowd.park(gates.callers.get(name))
    costs.memory = (read() - before) / number / 1024
    gates.open()
    await crowd.release()
    await crowd.gone()


class Gates:
    """For callers who wait for no pool, each at a gate: what waiting costs by itself."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Future[None]] = []
        self.callers: dict[str, Callable[[], Any]] = {"task": self.in_a_task, "greenlet": self.in_a_greenlet}

    def gate(self) -> asyncio.Future[None]:
        self.gates.append(asyncio.get_running_loop().create_future())
        return self.gates[-1]

    async def in_a_task(self) -> None:
        with suppress(TimeoutError):
            await self.gate()

    async def in_a_greenlet(self) -> None:
        """As every call of SQLAlchemy's asyncio half waits."""
        with suppress(TimeoutError):
            await greenlet_spawn(await_only, self.gate())

    def open(self) -> None:
        for gate in self.gates:
            gate.set_result(None)

    def time_is_up(self) -> None:
        for gate in self.gates:
            gate.set_exception(TimeoutError())


async def at_gates(pool: Pool, number: int, costs: Costs, name: str) -> None:
    for expires in (False, True):
        crowd, gates = Crowd(pool, number), Gates()
        costs.park = await crowd.park(gates.callers[name])
        ticker = Ticker()
        await asyncio.sleep(CALM)
        began = time.process_time()
        (gates.time_is_up if expires else gates.open)()
        await crowd.gone()
        if expires:
            costs.expire, costs.stall = crowd.each(began), await ticker.stop()
        else:
            costs.serve = crowd.each(began)
            await ticker.stop()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def traced() -> int:
    return tracemalloc.get_traced_memory()[0]


@asynccontextmanager
async def used_pool(name: str, url: str, patience: float) -> AsyncGenerator[Pool, None]:
    async with POOLS[name](url, pool_size=SIZE, pool_timeout=patience) as pool:
        await pool.open_together(SIZE)
        # What a first use alone costs.
        await served(pool, 200, Costs())
        yield pool


async def measure(name: str, url: str, number: int, what: str) -> Costs:
    costs, is_bare = Costs(), name in Gates().callers
    async with used_pool(name, url, ENDLESS) as pool:
        if what == "time" and is_bare:
            await at_gates(pool, number, costs, name)
        elif what == "time":
            await served(pool, number, costs)
        elif what == "memory":
            await memory_of(pool, number, costs, resident, name)
        else:
            tracemalloc.start()
            await memory_of(pool, number, costs, traced, name)
            tracemalloc.stop()
    if what == "time" and not is_bare:
        async with used_pool(name, url, PATIENCE) as pool:
            await expired(pool, number, costs)
    return costs


def main() -> None:
    name, url, number, loop, what = sys.argv[1:]
    make_loop = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=make_loop) as runner:
        print(json.dumps(vars(runner.run(measure(name, url, int(number), what)))))


if __name__ == "__main__":
    main()
