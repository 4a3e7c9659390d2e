"""What taking a connection and giving it back costs when nobody else wants one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop
from bench.pools import Pool, engine_of, keeper, of_asyncpg, of_psycopg, stock
from bench.report import Report, Table, median, progress, quantile, run

from poolkeeper import Database
from poolkeeper.testing import EmbeddedPostgres

ROUNDS = 80
TURNS = 120
SIZE = 5

OURS = "KeeperPool, everything on"
BASE = "stock, no ping"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
DRIVERS = ("asyncpg", "psycopg")


@asynccontextmanager
async def whole_database(url: str, *, pool_size: int, pool_timeout: float) -> AsyncGenerator[Pool, None]:
    database = Database(url, pool_size=pool_size, max_overflow=0, pool_timeout=pool_timeout)
    async with engine_of(database.engine) as pool:
        yield pool
    await database.close()


@dataclass(frozen=True)
class Contender:
    """`turns` are fewer for one that makes round trips."""

    name: str
    make: Callable[..., AbstractAsyncContextManager[Pool]]
    options: dict[str, Any] = field(default_factory=dict)
    turns: int = TURNS
    only: str | None = None


CONTENDERS = (
    Contender(BASE, stock, {"pool_pre_ping": False}),
    Contender("stock, pre_ping", stock, turns=TURNS // 10),
    Contender(OURS, keeper, {"min_idle": SIZE}),
    Contender("Database, with its guards", whole_database),
    Contender("asyncpg.Pool", of_asyncpg, turns=TURNS // 10, only="asyncpg"),
    Contender("psycopg_pool, no check", of_psycopg, {"check": False}, only="psycopg"),
)


async def turn_of(pool: Pool, turns: int) -> float:
    """Microseconds of one connect and close."""
    take, give_back = pool.take, pool.give_back
    began = time.perf_counter()
    for _ in range(turns):
        await give_back(await take())
    return (time.perf_counter() - began) / turns * 1e6


async def rounds_of(url: str, driver: str, rounds: int) -> dict[str, list[float]]:
    """Everybody in turn, round after round, so that what else runs on the machine meets all of them."""
    async with AsyncExitStack() as stack:
        pools: list[tuple[Contender, Pool]] = []
        for contender in CONTENDERS:
            if contender.only in (None, driver):
                making = contender.make(url, pool_size=SIZE, pool_timeout=30, **contender.options)
                pools.append((contender, await stack.enter_async_context(making)))
        for _, pool in pools:
            await pool.open_together(SIZE)
            await turn_of(pool, TURNS // 10)
        found: dict[str, list[float]] = {contender.name: [] for contender, _ in pools}
        for _ in range(rounds):
            for contender, pool in pools:
                found[contender.name].append(await turn_of(pool, contender.turns))
    return found


def measure(report: Report, rounds: int = ROUNDS) -> None:
    rows = []
    with EmbeddedPostgres() as server:
        for driver in DRIVERS:
            for name, loop in LOOPS.items():
                progress(f"{driver} on {name}")
                with asyncio.Runner(loop_factory=loop) as runner:
                    found = runner.run(rounds_of(server.url(driver), driver, rounds))
                rows += rows_of(report, f"{driver}, {name}", found)
    columns = ("driver, loop", "pool", "quiet, us", "median, us", f"quiet / {BASE}", "median of rounds' ratios")
    report.tables.append(Table("connect() + close()", columns, rows))


def rows_of(report: Report, where: str, found: dict[str, list[float]]) -> list[tuple[str | float, ...]]:
    base, rows = found[BASE], []
    for name, took in found.items():
        ratio = quiet(took) / quiet(base)
        of_rounds = median([ours / theirs for ours, theirs in zip(took, base, strict=True)])
        rows.append((where, name, f"{quiet(took):.1f}", f"{median(took):.1f}", f"{ratio:.2f}", f"{of_rounds:.2f}"))
        if name == OURS:
            report.target(f"KeeperPool / {BASE}, {where}", "<= 1.0", f"{ratio:.2f}", ratio <= 1.0)
    return rows


def quiet(took: list[float]) -> float:
    """Of the rounds in which the machine had little else to do; one alone may be luck."""
    return quantile(took, 0.1)


REPORT = Report(
    "uncontended",
    "Uncontended connect and close",
    f"One caller, engine.connect() and close(), {TURNS} times in each of {ROUNDS} interleaved rounds; quiet: the\n"
    "fastest tenth of them. KeeperPool with liveness, recycle, min_idle and keepalive on. asyncpg.Pool\n"
    "resets each connection with a round trip.",
)

if __name__ == "__main__":
    run(REPORT, measure)
