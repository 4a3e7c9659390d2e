"""More callers at once than connections, where connecting is slow: who waits for a connect that nobody needs?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.pools import Make, Pool, Run, keeper, keeper_pool_of, of_asyncpg, of_psycopg, stock
from bench.report import Report, Table, median, progress, run

from poolkeeper.testing import EmbeddedPostgres

CLIENTS, LIMIT, WARM = 50, 50, 5
CONNECT, QUERY = 0.150, 0.002
ROUNDS = 4
SETTLE = 0.3

OURS = "KeeperPool"
THEIRS = "psycopg_pool"
BEST = f"{THEIRS}, min_size {WARM}"
Work = Callable[[Run], Awaitable[Any]]


async def sleeping(_: Run) -> None:
    """What the pool does alone, without the time that a driver takes on this machine's processor."""
    await asyncio.sleep(QUERY)


async def querying(run_sql: Run) -> None:
    await run_sql(f"SELECT pg_sleep({QUERY})")


WORKS: dict[str, Work] = {"sleeps 2 ms": sleeping, "queries 2 ms": querying}


@dataclass(frozen=True)
class Contender:
    """`warm` connections are open before the clients come."""

    name: str
    driver: str
    make: Make
    warm: int = WARM
    options: dict[str, Any] = field(default_factory=dict)


CONTENDERS = (
    Contender("stock, 5 + 45 overflow", "asyncpg", stock, options={"pool_size": WARM, "max_overflow": LIMIT - WARM}),
    Contender("stock, 50, 1 warm", "asyncpg", stock, warm=1),
    # It opens nothing in the spike, and so shows what SQLAlchemy alone takes for as many clients.
    Contender("stock, 5, never more", "asyncpg", stock, options={"pool_size": WARM}),
    Contender("asyncpg.Pool, min_size 5", "asyncpg", of_asyncpg, options={"min_size": WARM}),
    Contender(BEST, "psycopg", of_psycopg, options={"min_size": WARM, "check": False}),
    Contender(f"{OURS}, asyncpg", "asyncpg", keeper),
    Contender(f"{OURS}, asyncpg, min_idle 5", "asyncpg", keeper, options={"min_idle": WARM}),
    Contender(f"{OURS}, psycopg", "psycopg", keeper),
    Contender(f"{OURS}, psycopg, min_idle 5", "psycopg", keeper, options={"min_idle": WARM}),
)


@dataclass(frozen=True)
class Found:
    """Connects begun before the last client was served, and in all; seconds until clients had a connection."""

    connects: int
    connects_after: int
    waits: list[float]
    wall: float


async def warm_up(pool: Pool, contender: Contender) -> None:
    if contender.make is keeper and "min_idle" in contender.options:
        # Whoever takes connections meanwhile has it open others, to keep as many idle.
        await keeper_pool_of(pool).warm_up(10.0)
    else:
        await pool.open_together(contender.warm)
    await asyncio.sleep(0.05)


async def spike(contender: Contender, url: str, work: Work) -> Found:
    options = {"pool_size": LIMIT, "pool_timeout": 30} | contender.options
    async with contender.make(url, **options) as pool:
        await warm_up(pool, contender)
        pool.connects.clear()
        pool.connect_delay = CONNECT
        waits: list[float] = []
        began = time.perf_counter()

        async def client() -> None:
            async with pool.connection() as run_sql:
                waits.append(time.perf_counter() - began)
                await work(run_sql)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        wall, connects = time.perf_counter() - began, len(pool.connects)
        await asyncio.sleep(SETTLE)
        return Found(connects, len(pool.connects), waits, wall)


async def measure(report: Report, contenders: Sequence[Contender] = CONTENDERS, rounds: int = ROUNDS) -> None:
    with EmbeddedPostgres(max_connections=200) as server:
        for what, work in WORKS.items():
            found: dict[str, list[Found]] = {contender.name: [] for contender in contenders}
            for number in range(rounds):
                progress(f"a client {what}: round {number + 1} of {rounds}")
                for contender in contenders:
                    found[contender.name].append(await spike(contender, server.url(contender.driver), work))
            tell(report, what, found)


def tell(report: Report, what: str, found: dict[str, list[Found]]) -> None:
    columns = ("pool", "connects, worst", "and after the spike", "p50 wait, ms", "longest wait, ms", "all served, ms")
    rows = [row(name, rounds) for name, rounds in found.items()]
    report.tables.append(Table(f"{CLIENTS} clients; each {what} (median of rounds)", columns, rows))
    ours = [rounds for name, rounds in found.items() if name.startswith(OURS)]
    connects = max(each.connects for rounds in ours for each in rounds)
    report.target(f"connects, {what}", "<= 2", str(connects), connects <= 2)
    if BEST in found:
        best, worst = p50_of(found[BEST]), max(p50_of(rounds) for rounds in ours)
        report.target(f"p50 wait, {what}", f"<= {THEIRS}'s {best:.1f} ms", f"{worst:.1f} ms", worst <= best)


def p50_of(rounds: Sequence[Found]) -> float:
    return median([median(each.waits) for each in rounds]) * 1000


def row(name: str, rounds: Sequence[Found]) -> tuple[str | float | int, ...]:
    longest = median([max(each.waits) for each in rounds]) * 1000
    wall = median([each.wall for each in rounds]) * 1000
    connects, after = (max(numbers) for numbers in zip(*((r.connects, r.connects_after) for r in rounds), strict=True))
    return name, connects, after, p50_of(rounds), longest, wall


REPORT = Report(
    "spike",
    "A spike of clients",
    f"{CLIENTS} clients at once on a pool of up to {LIMIT} with {WARM} connections open; a connect takes\n"
    f"{CONNECT * 1000:.0f} ms more than usual. psycopg_pool without its check.",
)

if __name__ == "__main__":
    run(REPORT, measure)
