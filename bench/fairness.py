"""Closed-loop callers of one pool: how evenly it serves them, and how long the unluckiest waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.pools import Make, Pool, keeper, of_asyncpg, of_psycopg, stock
from bench.report import Report, Table, median, progress, quantile, run
from sqlalchemy.ext.asyncio import AsyncSession

from poolkeeper.testing import EmbeddedPostgres

CALLERS, SIZE, HOLD = 100, 10, 0.020
# So many turns that a perfect queue, whose callers differ by one at the end, has an index of 0.999.
SECONDS = 4.0
IDEAL = CALLERS / SIZE * HOLD

OURS = "KeeperPool"
Checkout = Callable[[], AbstractAsyncContextManager[Any]]


def by_context_manager(pool: Pool) -> Checkout:
    return pool.connection


def by_explicit_close(pool: Pool) -> Checkout:
    @asynccontextmanager
    async def checkout() -> AsyncGenerator[None, None]:
        held = await pool.take()
        try:
            yield
        finally:
            await pool.give_back(held)

    return checkout


def by_session(pool: Pool) -> Checkout:
    @asynccontextmanager
    async def checkout() -> AsyncGenerator[None, None]:
        async with AsyncSession(pool.engine) as session:
            await session.connection()
            yield

    return checkout


@dataclass(frozen=True)
class Contender:
    name: str
    driver: str
    make: Make
    has_sessions: bool = True


CONTENDERS = (
    Contender("stock, asyncpg", "asyncpg", stock),
    Contender("asyncpg.Pool", "asyncpg", of_asyncpg, has_sessions=False),
    Contender("psycopg_pool", "psycopg", of_psycopg, has_sessions=False),
    Contender(f"{OURS}, asyncpg", "asyncpg", keeper),
    Contender(f"{OURS}, psycopg", "psycopg", keeper),
)
SHAPES = {"context manager": by_context_manager, "explicit close": by_explicit_close, "AsyncSession": by_session}


@dataclass(frozen=True)
class Found:
    """Seconds that each checkout waited; how many each caller got."""

    waits: list[float]
    turns: list[int]

    @property
    def jain(self) -> float:
        """1 when everybody got the same, 1 / callers when one got everything."""
        return sum(self.turns) ** 2 / (len(self.turns) * sum(turns**2 for turns in self.turns))

    @property
    def worst(self) -> float:
        return max(self.waits) / IDEAL


async def closed_loop(checkout: Checkout, seconds: float) -> Found:
    """Everybody holds, returns and asks again at once. Who waits at the end is counted with what it waited."""
    waits: list[float] = []
    turns = [0] * CALLERS
    until = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        while (asked := time.perf_counter()) < until:
            async with checkout():
                waits.append(time.perf_counter() - asked)
                turns[number] += 1
                await asyncio.sleep(HOLD)

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return Found(waits, turns)


async def loops(contender: Contender, server: EmbeddedPostgres, seconds: float) -> dict[str, Found]:
    found = {}
    url = server.url(contender.driver)
    async with contender.make(url, pool_size=SIZE, pool_timeout=30) as pool:
        for shape, checkout in SHAPES.items():
            if shape != "AsyncSession" or contender.has_sessions:
                progress(f"{contender.name}: {shape}")
                await pool.open_together(SIZE)
                found[shape] = await closed_loop(checkout(pool), seconds)
    return found


async def measure(report: Report, seconds: float = SECONDS) -> None:
    ours: list[Found] = []
    rows = []
    with EmbeddedPostgres() as server:
        for contender in CONTENDERS:
            for shape, found in (await loops(contender, server, seconds)).items():
                rows.append(row(contender.name, shape, found))
                ours += [found] if contender.name.startswith(OURS) else []
    columns = (*("pool", "shape", "Jain index", "max wait / ideal", "p99 / ideal", "p50 / ideal"), "turns per caller")
    report.tables.append(Table(f"{CALLERS} callers, pool of {SIZE}, ideal {IDEAL * 1000:.0f} ms", columns, rows))
    jain, worst = min(found.jain for found in ours), max(found.worst for found in ours)
    report.target("Jain index, worst shape and driver", ">= 0.999", f"{jain:.4f}", jain >= 0.999)
    report.target("max wait, worst shape and driver", "<= 1.10 x ideal", f"{worst:.2f} x", worst <= 1.10)


def row(name: str, shape: str, found: Found) -> tuple[str | float, ...]:
    turns = f"{min(found.turns)}..{max(found.turns)}"
    p99, p50 = quantile(found.waits, 0.99) / IDEAL, median(found.waits) / IDEAL
    return name, shape, f"{found.jain:.4f}", found.worst, p99, p50, turns


REPORT = Report(
    "fairness",
    "Fairness",
    f"Closed loop for {SECONDS:.0f} s: each caller takes a connection, holds it for {HOLD * 1000:.0f} ms, gives it\n"
    "back and asks again at once. Ideal is the wait of a perfect queue, callers / connections x hold.",
)

if __name__ == "__main__":
    run(REPORT, measure)
