"""Callers of scripted pools, whose connects fail and who are cancelled at random, in virtual time."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from poolkeeper.testing import ScriptedDatabase, VirtualTimeLoop
from poolkeeper.testing.scripted import ScriptedConnection

CALLERS = 10
POOL_SIZE = 2
# No pool pauses longer between two attempts to connect, so whoever still waits then is forgotten.
STANDSTILL = 2.0
CURABLE, INCURABLE = ConnectionRefusedError, ValueError


@dataclass
class Tally:
    """`stranded` callers waited while nothing went on in their pool; `left_open` connections outlived their pool."""

    callers: int = 0
    failed_connects: int = 0
    cancelled: int = 0
    stranded: int = 0
    left_open: int = 0

    @property
    def faults(self) -> int:
        return self.failed_connects + self.cancelled


class Round:
    """One cold pool and its callers."""

    def __init__(self, dice: random.Random, tally: Tally, options: dict[str, Any]) -> None:
        self.dice, self.tally = dice, tally
        self.database = ScriptedDatabase()
        limits = {"pool_size": POOL_SIZE, "max_overflow": 0, "pool_timeout": 30}
        self.engine: AsyncEngine = create_async_engine("scripted://", async_creator=self.connect, **limits, **options)

    async def connect(self) -> ScriptedConnection:
        await asyncio.sleep(self.dice.uniform(0.001, 0.003))
        if self.dice.random() < 0.5:
            self.tally.failed_connects += 1
            raise self.dice.choice([CURABLE, INCURABLE])("as the dice say")
        return await self.database.connect()

    async def caller(self, arrives: float, holds: float, breaks: bool) -> None:
        await asyncio.sleep(arrives)
        with suppress(CURABLE, INCURABLE, exc.DBAPIError):
            async with self.engine.connect() as connection:
                await asyncio.sleep(holds)
                if breaks:
                    await connection.invalidate()

    def begin(self) -> asyncio.Task[None]:
        dice = self.dice
        arrives = dice.uniform(0, 0.001)
        task = asyncio.create_task(self.caller(arrives, dice.uniform(0, 0.002), dice.random() < 0.5))
        if dice.random() < 0.3:
            asyncio.get_running_loop().call_later(arrives + dice.uniform(0, 0.01), self.cancel, task)
        return task

    def cancel(self, task: asyncio.Task[None]) -> None:
        self.tally.cancelled += task.cancel()

    async def run(self) -> None:
        tasks = [self.begin() for _ in range(CALLERS)]
        _, waiting = await asyncio.wait(tasks, timeout=STANDSTILL)
        self.tally.callers += CALLERS
        self.tally.stranded += len(waiting)
        for task in waiting:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await self.engine.dispose()
        await asyncio.sleep(STANDSTILL)
        self.tally.left_open += len(self.database.connections)
        for end in ends:
            if isinstance(end, Exception):
                raise end


def storm(faults: int, seed: int, **options: Any) -> Tally:
    """Rounds until so many connects failed and callers were cancelled. `options` are for `create_async_engine`."""
    dice, tally = random.Random(seed), Tally()

    async def rounds() -> None:
        while tally.faults < faults:
            await Round(dice, tally, options).run()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(rounds())
    return tally
