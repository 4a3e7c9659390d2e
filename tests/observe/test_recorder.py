"""What is counted adds up: every request has one end, and every hold its parts."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on

from poolkeeper import Database, PoolSaturated, PoolSnapshot, PoolTimeout
from poolkeeper.model import BOUNDS, PoolEvent, PoolEventKind, Timings, Totals
from poolkeeper.observe import Recorder
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")


def ends(totals: Totals) -> dict[str, int]:
    """The requests that have ended, by how; what failed with the error of a connect is the rest."""
    return {
        "served": totals.served,
        "timed out": totals.timed_out,
        "refused": totals.refused,
        "cancelled": totals.cancelled,
    }


async def ask(database: Database, outcomes: Counter[str], hold: float) -> None:
    took = "failed"
    try:
        async with database.engine.connect():
            took = "served"
            await asyncio.sleep(hold)
    except PoolSaturated:
        outcomes["refused"] += 1
    except PoolTimeout as error:
        outcomes["timed out" if error.__cause__ is None else "failed"] += 1
    except SQLAlchemyError:
        outcomes["failed"] += 1
    except asyncio.CancelledError:
        outcomes["cancelled" if took == "failed" else "served"] += 1
    else:
        outcomes["served"] += 1


@on(*POSTGRESQL, *MARIADB)
async def test_every_request_has_one_end(store: Store) -> None:
    dice = random.Random(4)
    async with store.make(pool_size=3, max_overflow=1, pool_timeout=0.2, max_waiting=12) as database:
        outcomes: Counter[str] = Counter()
        tasks = [asyncio.create_task(ask(database, outcomes, dice.uniform(0, 0.15))) for _ in range(40)]
        for task in dice.sample(tasks, 8):
            await asyncio.sleep(dice.uniform(0, 0.04))
            task.cancel()
        pool = database.snapshot()
        assert pool.totals.requests == sum(ends(pool.totals).values()) + pool.waiting
        await asyncio.gather(*tasks, return_exceptions=True)
        # A task that was cancelled before it ran never asked.
        pool = database.snapshot()
        assert ends(pool.totals) == {name: outcomes[name] for name in ends(pool.totals)}
        assert pool.totals.requests == sum(outcomes.values()) == sum(ends(pool.totals).values())
        assert outcomes["refused"] > 0
        assert 0 < pool.totals.waited <= pool.totals.requests
        assert_adds_up(pool)


def assert_adds_up(pool: PoolSnapshot) -> None:
    timings, totals = pool.timings, pool.totals
    assert timings.waits.count == totals.served
    assert timings.holds.count == timings.in_sql.count == timings.gaps.count == totals.returned
    assert totals.served - totals.returned == pool.in_use
    assert timings.in_sql.total + timings.gaps.total == pytest.approx(timings.holds.total)
    assert timings.connects.count == totals.connects == pool.opened


@on(POSTGRESQL[0])
async def test_failing_connects_are_counted_by_reason_and_told_without_secrets(store: Store) -> None:
    url = store.url.replace("postgres@", "postgres:hunter2@").replace("/test_", "/no_such_")
    async with Database(url, min_idle=0, pool_size=5) as database:
        outcomes: Counter[str] = Counter()
        await asyncio.gather(*(ask(database, outcomes, 0) for _ in range(3)))
        pool = database.snapshot()
        assert outcomes == {"failed": 3}
        assert pool.totals.requests == 3
        assert sum(ends(pool.totals).values()) == 0
        assert set(pool.totals.connect_failures) == {"no-such-database"}
        trouble = pool.connect_trouble
        assert trouble is not None
        assert (trouble.kind, trouble.sqlstate) == ("no-such-database", "3D000")
        assert trouble.attempts == pool.totals.connect_failures["no-such-database"]
        assert "does not exist" in trouble.message
        assert "hunter2" not in str(pool)


@on(POSTGRESQL[0])
async def test_trouble_ends_with_the_first_connect_that_succeeds(store: Store) -> None:
    with FaultProxy("127.0.0.1", store.server.server.port) as proxy:
        url = store.url.replace(f":{store.server.server.port}/", f":{proxy.port}/")
        async with Database(url, min_idle=0, pool_size=5, pool_timeout=0.3) as database:
            proxy.refuse()
            with suppress(SQLAlchemyError):
                async with database.session() as session:
                    await session.execute(SELECT)
            trouble = database.snapshot().connect_trouble
            assert trouble is not None
            assert trouble.seconds > 0
            proxy.heal()
            async with asyncio.timeout(5):
                while database.snapshot().connect_trouble is not None:
                    with suppress(SQLAlchemyError):
                        async with database.session() as session:
                            await session.execute(SELECT)


@on(*BLOCKING)
def test_requests_of_threads_have_one_end_too(store: Store) -> None:
    database = store.make(pool_size=2, max_overflow=0, pool_timeout=0.1)
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()

    def work() -> None:
        try:
            with database.sync_engine.connect() as connection:
                connection.execute(SELECT)
                time.sleep(0.08)
            end = "served"
        except SQLAlchemyError:
            end = "timed out"
        with lock:
            outcomes[end] += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool = database.snapshot()
    assert ends(pool.totals) == {"served": outcomes["served"], "timed out": outcomes["timed out"]} | {
        "refused": 0,
        "cancelled": 0,
    }
    assert pool.totals.requests == 8
    assert outcomes["timed out"]
    assert_adds_up(pool)
    database.sync_engine.dispose()


@on(POSTGRESQL[0])
async def test_a_disposed_engine_goes_on_counting(store: Store) -> None:
    async with store.make(pool_size=2) as database:
        for _ in range(2):
            async with database.session() as session:
                await session.execute(SELECT)
            await database.engine.dispose()
        assert (database.snapshot().totals.served, database.snapshot().totals.connects) == (2, 2)


@on(POSTGRESQL[1])
async def test_both_engines_of_a_database_are_added_up(store: Store) -> None:
    async with store.make(pool_size=2, max_overflow=1) as database:
        async with database.session() as session:
            await session.execute(SELECT)
        with database.sync_session() as session:
            session.execute(SELECT)
        pool = database.snapshot()
        assert (pool.capacity, pool.pool_size, pool.totals.served, pool.totals.connects) == (6, 4, 2, 2)
        assert_adds_up(pool)


@on(POSTGRESQL[0])
async def test_a_snapshot_tells_what_the_pool_was_told(store: Store) -> None:
    settings = {"pool_size": 7, "max_overflow": 1, "pool_timeout": 3.0, "pool_recycle": 600, "min_idle": 1}
    async with store.make(**settings) as database:
        pool = database.snapshot()
        assert (pool.pool_size, pool.pool_timeout, pool.pool_recycle, pool.min_idle) == (7, 3.0, 600, 1)
        assert pool.unknown == frozenset()
        assert abs(pool.at - time.monotonic()) < 1


def test_values_on_a_bound_belong_below_it() -> None:
    recorder = Recorder()
    for seconds in (0.0, *BOUNDS, 99.0):
        recorder.notice(PoolEvent(PoolEventKind.RETURNED, 0.0, seconds))
    assert recorder.timings().holds.counts == (2, *[1] * (len(BOUNDS) - 1), 1)
    assert recorder.timings() + Timings() == recorder.timings()
    assert (recorder.totals() + recorder.totals()).returned == 2 * recorder.totals().returned


@on(*POSTGRESQL, *MARIADB)
async def test_of_a_wait_the_queue_is_told_apart_from_the_connect(store: Store) -> None:
    with FaultProxy("127.0.0.1", store.server.server.port) as proxy:
        async with Database(proxy.url(store.url), pool_size=1, max_overflow=0, min_idle=0, pool_timeout=10) as database:
            await tell_apart(proxy, database)


async def tell_apart(proxied: FaultProxy, database: Database) -> None:
    proxied.latency = 0.05
    outcomes: Counter[str] = Counter()
    await asyncio.gather(*(ask(database, outcomes, 0.1) for _ in range(2)))
    timings = database.snapshot().timings
    connecting = timings.connects.total
    # The first waited for its own connect, the second for that and for the first.
    assert (outcomes["served"], timings.queues.count, timings.connects.count) == (2, 2, 1)
    assert connecting >= 0.1
    assert timings.queues.total <= timings.waits.total - 0.9 * connecting
    assert timings.queues.total >= 0.9 * connecting + 0.1
    # Who has one at once waits in no queue.
    proxied.latency = 0.0
    await ask(database, outcomes, 0.0)
    after = database.snapshot().timings
    assert (after.queues.count, after.waits.count) == (2, 3)
