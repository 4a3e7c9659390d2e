"""What it costs to know, always, who has a connection, since when, from where and what for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import uvloop
from bench.report import Report, Table, median, progress, quantile, run
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from poolkeeper.observe import ObservedPool
from poolkeeper.pool import KeeperPool
from poolkeeper.testing import EmbeddedPostgres

ROUNDS = 120
TURNS = 100
LIMIT = 3.0

OFF, ON = "observation off", "observation on"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
DRIVERS = ("asyncpg", "psycopg")
SELECT = text("SELECT 1")


@asynccontextmanager
async def engine_of(url: str, *, observed: bool) -> AsyncGenerator[AsyncEngine, None]:
    engine = create_async_engine(url, poolclass=KeeperPool, pool_size=5, max_overflow=0)
    if observed:
        ObservedPool(engine.sync_engine)
    yield engine
    await engine.dispose()


async def checkouts(engine: AsyncEngine) -> None:
    for _ in range(TURNS):
        connection = await engine.connect()
        await connection.close()


async def statements(engine: AsyncEngine) -> None:
    """As many in one hold: what a statement costs without what a checkout does."""
    async with engine.connect() as connection:
        for _ in range(TURNS):
            await connection.execute(SELECT)


Work = Callable[[AsyncEngine], Awaitable[None]]


async def microseconds(work: Work, engine: AsyncEngine) -> float:
    began = time.perf_counter()
    await work(engine)
    return (time.perf_counter() - began) / TURNS * 1e6


async def rounds_of(url: str, work: Work, rounds: int) -> dict[str, list[float]]:
    """Both in turn, so that what else runs on the machine meets both."""
    found: dict[str, list[float]] = {OFF: [], ON: []}
    async with AsyncExitStack() as stack:
        engines = {name: await stack.enter_async_context(engine_of(url, observed=name == ON)) for name in found}
        for engine in engines.values():
            await work(engine)
        for number in range(rounds):
            # Whoever comes second finds the machine as the first left it.
            for name in found if number % 2 else reversed(found):
                found[name].append(await microseconds(work, engines[name]))
    return found


def measure(report: Report, rounds: int = ROUNDS) -> None:
    of_checkouts, of_statements = [], []
    with EmbeddedPostgres() as server:
        for driver in DRIVERS:
            for name, loop in LOOPS.items():
                where = f"{driver}, {name}"
                progress(where)
                url = server.url(driver)
                with asyncio.Runner(loop_factory=loop) as runner:
                    row, extra = row_of(where, runner.run(rounds_of(url, checkouts, rounds)))
                    of_checkouts.append(row)
                    report.target(
                        f"observing a checkout, {where}", f"<= {LIMIT:.0f} us", f"{extra:.1f} us", extra <= LIMIT
                    )
                    of_statements.append(row_of(where, runner.run(rounds_of(url, statements, rounds // 4)))[0])
    columns = ("driver, loop", "off, us", "on, us", "quiet rounds' difference, us", "median of rounds' differences, us")
    report.tables.append(Table("connect() + close()", columns, of_checkouts))
    report.tables.append(Table("execute(), with its round trip", columns, of_statements))


def row_of(where: str, found: dict[str, list[float]]) -> tuple[tuple[str, ...], float]:
    off, on = quiet(found[OFF]), quiet(found[ON])
    between = median([ours - theirs for ours, theirs in zip(found[ON], found[OFF], strict=True)])
    return (where, f"{off:.1f}", f"{on:.1f}", f"{on - off:.1f}", f"{between:.1f}"), on - off


def quiet(took: list[float]) -> float:
    """Of the rounds in which the machine had little else to do; one alone may be luck."""
    return quantile(took, 0.1)


REPORT = Report(
    "observation",
    "What observation costs",
    f"One caller and KeeperPool, {TURNS} times in each of {ROUNDS} interleaved rounds; quiet: the fastest tenth of\n"
    "them. On: events counted and timed, the register of holders with task, request and call site.",
)

if __name__ == "__main__":
    run(REPORT, measure)
