"""Connections that grow old together are replaced before anybody waits for it, and not all at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from poolkeeper.model import CloseReason, PoolEvent, PoolEventKind
from poolkeeper.pool import KeeperPool
from poolkeeper.testing.scripted import ScriptedDatabase, VirtualTimeLoop

SIZE = 20
MAX_IDLE = 8.0
RECYCLE = 5.0
JITTER = 0.2


class Observer:
    def __init__(self) -> None:
        self.events: list[PoolEvent] = []

    def notice(self, event: PoolEvent) -> None:
        self.events.append(event)

    def moments(self, kind: PoolEventKind) -> list[float]:
        return [event.at for event in self.events if event.kind is kind]


@pytest.mark.parametrize("connect_time", [0.0, 0.05])
def test_those_opened_together_are_replaced_one_by_one_before_they_expire(connect_time: float) -> None:
    observer = Observer()

    async def scenario() -> None:
        database = ScriptedDatabase()
        engine = database.engine(
            poolclass=KeeperPool,
            pool_size=SIZE,
            max_overflow=0,
            pool_recycle=RECYCLE,
            recycle_jitter=JITTER,
            observer=observer,
        )
        connections = [await engine.connect() for _ in range(SIZE)]
        opened = time.monotonic()
        for connection in connections:
            await connection.close()
        database.connects.answer(delay=connect_time)
        observer.events.clear()
        await asyncio.sleep(opened + RECYCLE - time.monotonic())
        await engine.dispose()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())

    closed = [event for event in observer.events if event.reason is CloseReason.LIFETIME]
    assert len(closed) >= SIZE
    assert all(RECYCLE * (1 - JITTER) - 0.1 <= event.seconds < RECYCLE for event in closed)
    connects = observer.moments(PoolEventKind.CONNECTING)
    assert max(sum(start <= at < start + 0.1 for at in connects) for start in connects) <= 5


def test_a_connection_that_nobody_uses_is_closed_for_that_however_often_it_is_replaced() -> None:
    async def scenario() -> None:
        database = ScriptedDatabase()
        engine = database.engine(
            poolclass=KeeperPool, pool_size=5, max_overflow=0, pool_recycle=RECYCLE, max_idle=MAX_IDLE, keepalive=None
        )
        for connection in [await engine.connect() for _ in range(5)]:
            await connection.close()
        await asyncio.sleep(RECYCLE + 0.1)
        assert engine.pool.counts().idle == 5  # type: ignore[attr-defined]
        await asyncio.sleep(MAX_IDLE)
        counts = engine.pool.counts()  # type: ignore[attr-defined]
        assert (counts.idle, counts.closed) == (0, {CloseReason.LIFETIME: 5, CloseReason.IDLE: 5})
        await engine.dispose()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())
