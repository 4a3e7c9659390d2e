"""What an observer's mistake costs: a line in the log, and no caller a connection."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from poolkeeper.errors import PoolTimeout
from poolkeeper.model import PoolEvent, PoolEventKind
from poolkeeper.pool import KeeperPool
from poolkeeper.testing.scripted import ScriptedDatabase, VirtualTimeLoop


class Faulty:
    def __init__(self) -> None:
        self.heard: Counter[PoolEventKind] = Counter()

    def notice(self, event: PoolEvent) -> None:
        self.heard[event.kind] += 1
        raise AttributeError("no such thing")


def test_an_observer_that_raises_strands_nobody_and_is_written_down_once(caplog: pytest.LogCaptureFixture) -> None:
    observer = Faulty()

    async def scenario() -> None:
        database = ScriptedDatabase()
        engine = database.engine(
            poolclass=KeeperPool, pool_size=1, max_overflow=0, pool_timeout=2.0, min_idle=0, observer=observer
        )
        database.connects.fail(ConnectionRefusedError, times=1)
        async with engine.connect():
            with pytest.raises(PoolTimeout):
                await engine.connect()
        pool = engine.pool
        assert isinstance(pool, KeeperPool)
        counts = pool.counts()
        assert (counts.idle, counts.in_use, counts.waiting, counts.connecting, counts.opened) == (1, 0, 0, 0, 1)
        await engine.dispose()
        assert not database.connections

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())
    expected = {"REQUESTED", "CONNECT_FAILED", "CONNECTED", "HANDED_OVER", "TIMED_OUT", "RETURNED", "CLOSED"}
    assert {kind.name for kind in observer.heard} >= expected
    (record,) = [record for record in caplog.records if record.name == "poolkeeper.pool"]
    assert record.getMessage().startswith("Faulty raised at ")
    assert "no such thing" in caplog.text
