"""What a pool on a real PostgreSQL leaves in the log."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from tests.servers import FreshDatabase

from poolkeeper.errors import PoolTimeout
from poolkeeper.model import PoolEvent, PoolEventKind, PoolSnapshot
from poolkeeper.observe import ObservedPool
from poolkeeper.observe.incidents import Thresholds
from poolkeeper.observe.journal import Journal
from poolkeeper.pool import KeeperPool
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.anyio
SECRET = "hush4711"
SELECT = text("SELECT 1")
# Never by itself, within a test.
SELDOM = 600.0


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with whatever a record has beside what every record has."""

    USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in record.__dict__.items() if name not in self.USUAL}
        return json.dumps({"logger": record.name, "level": record.levelname, "message": record.getMessage(), **extra})


class Said(logging.Handler):
    """The journal's lines, as JSON would have them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        assert SECRET not in line
        if hasattr(record, "event"):
            self.lines.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    async def first(self, event: str, seconds: float = 5.0) -> dict[str, Any]:
        await until(lambda: bool(self.of(event)), seconds)
        return self.of(event)[0]


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what somebody else's timer brings about."""
    for _ in range(round(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"it did not come to that within {seconds:g} s")


@asynccontextmanager
async def kept(
    url: str, *, every: float = 0.05, thresholds: Thresholds | None = None, **pool: Any
) -> AsyncIterator[tuple[AsyncEngine, Said]]:
    """An engine whose pool is kept a journal of, and what that says."""
    engine = create_async_engine(url, poolclass=KeeperPool, **pool)
    observed, said = ObservedPool(engine.sync_engine), Said()
    journal = Journal("orders", lambda: observed.snapshot("orders"), thresholds, every=every)
    observed.nesting.on_nested = journal.nested
    observed.recorder.listeners.append(journal)
    logger = logging.getLogger("poolkeeper")
    logger.addHandler(said)
    journal.start()
    try:
        yield engine, said
    finally:
        journal.stop()
        observed.lag.end()
        logger.removeHandler(said)
        await engine.dispose()


async def take(engine: AsyncEngine, taken: list[AsyncConnection]) -> None:
    connection = await engine.connect()
    await connection.execute(text(f"SELECT 1, '{SECRET}', :secret"), {"secret": SECRET})
    taken.append(connection)


async def hold(engine: AsyncEngine, until: asyncio.Event, then: Callable[[], Any] | None = None) -> None:
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        await until.wait()
        if then is not None:
            await then()


async def test_a_leak_is_told_and_taken_back_when_the_connection_is(fresh_database: FreshDatabase) -> None:
    async with kept(fresh_database.url(), thresholds=Thresholds(leaked_after=0.1)) as (engine, said):
        taken: list[AsyncConnection] = []
        await asyncio.create_task(take(engine, taken), name="the culprit")
        leak = await said.first("connection_leaked")
        assert (leak["logger"], leak["level"]) == ("poolkeeper.checkout", "WARNING")
        assert (leak["pool"], leak["task"]) == ("orders", "the culprit")
        assert leak["site"].endswith("in take")
        assert leak["backend"] == fresh_database.activity()[0].pid
        assert leak["site"] in leak["message"]
        await taken.pop().close()
        retracted = await said.first("connection_leak_retracted")
        assert (retracted["task"], retracted["site"]) == ("the culprit", leak["site"])
        assert retracted["seconds"] >= leak["seconds"]
        assert len(said.lines) == 2


@pytest.mark.filterwarnings("ignore:The garbage collector")
async def test_what_the_garbage_collector_finds_is_told(fresh_database: FreshDatabase) -> None:
    async with kept(fresh_database.url()) as (engine, said):
        taken: list[AsyncConnection] = []
        await asyncio.create_task(take(engine, taken))
        await asyncio.sleep(0.2)
        taken.clear()
        gc.collect()
        leak = await said.first("connection_leaked")
        assert leak["collected"] is True
        assert leak["site"].endswith("in take")
        assert leak["count"] == 1
        assert not said.of("connection_leak_retracted")


async def test_a_nested_checkout_is_told_at_once(fresh_database: FreshDatabase) -> None:
    async with kept(fresh_database.url(), every=SELDOM, pool_size=1, max_overflow=0) as (engine, said):

        async def audit() -> None:
            await engine.connect()

        may_nest = asyncio.Event()
        may_nest.set()
        task = asyncio.create_task(hold(engine, may_nest, audit), name="the order")
        nested = await said.first("nested_checkout")
        assert (nested["logger"], nested["task"]) == ("poolkeeper.checkout", "the order")
        assert nested["site"].endswith("in hold")
        assert nested["waits_at"].endswith("in audit")
        task.cancel()
        await asyncio.wait([task])
        assert len(said.of("nested_checkout")) == 1


async def test_saturation_is_told_with_its_end(fresh_database: FreshDatabase) -> None:
    thresholds = Thresholds(saturated_after=0.1, calm=0.2)
    async with kept(fresh_database.url(), thresholds=thresholds, pool_size=2, max_overflow=0, pool_timeout=0.4) as (
        engine,
        said,
    ):
        may_end = asyncio.Event()
        holders = [asyncio.create_task(hold(engine, may_end)) for _ in range(2)]
        await asyncio.sleep(0.1)
        late = [asyncio.create_task(hold(engine, may_end)) for _ in range(3)]
        begin = await said.first("pool_saturated")
        assert (begin["logger"], begin["capacity"], begin["in_use"], begin["waiting"]) == ("poolkeeper.pool", 2, 2, 3)
        assert begin["site"].endswith("in hold")
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert all(isinstance(outcome, PoolTimeout) for outcome in outcomes)
        may_end.set()
        await asyncio.gather(*holders)
        end = await said.first("pool_relieved")
        assert (end["waited"], end["timed_out"], end["most_waiting"]) == (3, 3, 3)
        assert 0.3 < end["seconds"] < 5
        assert len(said.lines) == 2


async def test_saturation_is_seen_between_two_looks(fresh_database: FreshDatabase) -> None:
    async with kept(fresh_database.url(), every=SELDOM, pool_size=1, max_overflow=0) as (engine, said):
        may_end = asyncio.Event()
        tasks = [asyncio.create_task(hold(engine, may_end)) for _ in range(2)]
        await said.first("pool_saturated")
        may_end.set()
        await asyncio.gather(*tasks)


async def test_a_streak_of_failed_connects_is_told_with_its_end(fresh_database: FreshDatabase) -> None:
    server = fresh_database.server
    with FaultProxy(server.host, server.port) as proxy:
        async with kept(proxy.url(fresh_database.url()), pool_size=1, max_overflow=0) as (engine, said):
            proxy.refuse()
            may_end = asyncio.Event()
            task = asyncio.create_task(hold(engine, may_end))
            failing = await said.first("connects_failing")
            assert (failing["logger"], failing["kind"]) == ("poolkeeper.pool", "refused")
            await asyncio.sleep(0.2)
            proxy.heal()
            recovered = await said.first("connects_recovered")
            assert recovered["seconds"] >= 0.2
            assert recovered["attempts"] >= 2
            may_end.set()
            await task
            assert len(said.of("connects_failing")) == 1


async def test_of_many_alike_a_few_are_told(fresh_database: FreshDatabase) -> None:
    thresholds = Thresholds(slow_hold=0.1, burst=2, per=0.8)
    async with kept(fresh_database.url(), thresholds=thresholds, pool_size=6, min_idle=6) as (engine, said):
        # Opened before, so that all are held from the same moment on.
        await (await engine.connect()).close()
        await until(lambda: engine.pool.counts().idle == 6)  # type: ignore[attr-defined]
        may_end = asyncio.Event()
        tasks = [asyncio.create_task(hold(engine, may_end)) for _ in range(6)]
        await said.first("connection_held_long")
        await asyncio.sleep(0.3)
        assert len(said.lines) == 2
        may_end.set()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.6)
        may_end = asyncio.Event()
        task = asyncio.create_task(hold(engine, may_end))
        await until(lambda: len(said.lines) == 3)
        assert said.lines[-1]["suppressed"] == 4
        may_end.set()
        await task


async def test_a_quiet_pool_says_nothing(fresh_database: FreshDatabase) -> None:
    async with kept(fresh_database.url(), pool_size=2) as (engine, said):
        may_end = asyncio.Event()
        may_end.set()
        await asyncio.gather(*(hold(engine, may_end) for _ in range(20)))
        await asyncio.sleep(0.2)
        assert said.lines == []


async def test_the_timers_do_not_keep_a_journal_alive(fresh_database: FreshDatabase) -> None:
    engine = create_async_engine(fresh_database.url(), poolclass=KeeperPool)
    observed = ObservedPool(engine.sync_engine)
    journal = Journal("orders", lambda: observed.snapshot("orders"), every=0.01)
    journal.start()
    forgotten = weakref.ref(journal)
    del journal
    gc.collect()
    assert forgotten() is None
    await asyncio.sleep(0.05)


def test_events_are_followed_up_on_a_loop_whose_handles_cannot_tell_when_they_are_due() -> None:
    seen: list[PoolSnapshot] = []

    def source() -> PoolSnapshot:
        seen.append(PoolSnapshot("shop", 1, 0, 0, 0))
        return seen[-1]

    async def scenario() -> None:
        journal = Journal("shop", source, every=SELDOM)
        journal.start()
        failed = PoolEvent(PoolEventKind.CONNECT_FAILED, 0.0)
        seen.clear()
        for event in (PoolEvent(PoolEventKind.WAITING, 0.0), failed, failed):
            journal.notice(event)
        assert not seen
        await asyncio.sleep(0.05)
        journal.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
    assert len(seen) == 1
