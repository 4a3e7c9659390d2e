"""The first requests of a process, all at once, against the same requests a moment later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from bench.report import Report, Table, median, progress, run
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from poolkeeper import Database
from poolkeeper.pool import KeeperPool
from poolkeeper.testing import EmbeddedPostgres

REQUESTS = SIZE = 20
ENGINES = 5
DRIVERS = ("asyncpg", "psycopg")
WARM_WAVES = 5

STOCK, COLD, WARMED = "stock", "KeeperPool, not warmed up", "KeeperPool, warmed up"
DATABASE = "Database, started"
# Timers and neighbours make two waves of the same requests differ by as much.
AS_WARM = 1.2

GUIDE = {"pool_size": SIZE, "max_overflow": 0, "pool_timeout": 30, "pool_recycle": 3600, "pool_pre_ping": True}
Start = Callable[[str], AbstractAsyncContextManager[AsyncEngine]]


@asynccontextmanager
async def stock(url: str) -> AsyncGenerator[AsyncEngine, None]:
    engine = create_async_engine(url, **GUIDE)
    yield engine
    await engine.dispose()


@asynccontextmanager
async def stock_opened(url: str) -> AsyncGenerator[AsyncEngine, None]:
    """What is left to the first requests when no pool could do better."""
    async with stock(url) as engine:
        connections = await asyncio.gather(*(engine.connect() for _ in range(SIZE)))
        await asyncio.gather(*(connection.close() for connection in connections))
        yield engine


@asynccontextmanager
async def keeper(url: str, *, warm: bool) -> AsyncGenerator[AsyncEngine, None]:
    engine = create_async_engine(url, poolclass=KeeperPool, **GUIDE, min_idle=SIZE if warm else 0)
    if warm:
        pool = engine.sync_engine.pool
        assert isinstance(pool, KeeperPool)
        assert await pool.warm_up(30.0) == 0
    yield engine
    await engine.dispose()


@asynccontextmanager
async def database(url: str) -> AsyncGenerator[AsyncEngine, None]:
    whole = Database(url, pool_size=SIZE, max_overflow=0, min_idle=SIZE)
    # As a service does by using keeper.write: of psycopg it could want the engine for threads alone.
    whole.expect("async")
    await whole.start()
    yield whole.engine
    await whole.close()


CONTENDERS: dict[str, Start] = {
    STOCK: stock,
    "stock, all opened by hand": stock_opened,
    COLD: lambda url: keeper(url, warm=False),
    WARMED: lambda url: keeper(url, warm=True),
    DATABASE: database,
}


@dataclass(frozen=True)
class Found:
    """Seconds: until the engine was ready, of the first requests, and medians of later waves."""

    ready: float
    first: list[float]
    warm: list[float]


async def wave(engine: AsyncEngine) -> list[float]:
    async def request() -> float:
        began = time.perf_counter()
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT relname FROM pg_class WHERE oid = :id"), {"id": 1259})
            await session.commit()
        return time.perf_counter() - began

    return await asyncio.gather(*(request() for _ in range(REQUESTS)))


async def from_cold(start: Start, url: str) -> Found:
    began = time.perf_counter()
    async with start(url) as engine:
        ready = time.perf_counter() - began
        first = await wave(engine)
        return Found(ready, first, [median(await wave(engine)) for _ in range(WARM_WAVES)])


async def measure(report: Report) -> None:
    found: dict[tuple[str, str], list[Found]] = {(driver, name): [] for driver in DRIVERS for name in CONTENDERS}
    with EmbeddedPostgres(auth="scram-sha-256") as server:
        for number in range(ENGINES):
            progress(f"engine {number + 1} of {ENGINES}")
            for (driver, name), runs in found.items():
                runs.append(await from_cold(CONTENDERS[name], server.url(driver)))
    rows = [row(report, driver, name, runs) for (driver, name), runs in found.items()]
    columns = ("driver", "pool", "ready after, ms", "first: p50, ms", "slowest", "warm: p50, ms", "first / warm")
    title = f"{REQUESTS} first requests at once, {ENGINES} fresh engines (medians)"
    report.tables.append(Table(title, columns, rows))


def row(report: Report, driver: str, name: str, runs: list[Found]) -> tuple[str | float, ...]:
    first = median([median(each.first) for each in runs]) * 1000
    slowest = median([max(each.first) for each in runs]) * 1000
    warm = median([wave for each in runs for wave in each.warm]) * 1000
    ready = median([each.ready for each in runs]) * 1000
    ratio = first / warm
    if name in (WARMED, DATABASE):
        report.target(f"{name}, {driver}: first / warm p50", f"<= {AS_WARM}", f"{ratio:.2f}", ratio <= AS_WARM)
    return driver, name, ready, first, slowest, warm, f"{ratio:.2f}"


REPORT = Report(
    "cold_start",
    "Cold start",
    f"{REQUESTS} sessions at once on a fresh engine (SELECT by key, commit), then {WARM_WAVES} such waves more; SCRAM\n"
    "on loopback. A first request also compiles the statement and prepares it on its connection.",
)

if __name__ == "__main__":
    run(REPORT, measure)
