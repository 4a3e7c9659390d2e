"""Requests that are cancelled at random moments: connections they cost, and what is left behind."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

from bench.pools import GUIDE, Pool, engine_of, keeper, of_asyncpg, of_psycopg, stock
from bench.report import Report, Table, progress, run
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from poolkeeper import Database
from poolkeeper.model import PoolCounts
from poolkeeper.pool import KeeperPool
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

VICTIMS = 600
SIZE = 20
AT_ONCE = 30
SEED = 20_260_101
DELAYS = (0.0, 0.001)
TABLE = "CREATE TABLE thing (id int PRIMARY KEY, changes int NOT NULL DEFAULT 0);"
ROWS = "INSERT INTO thing SELECT n FROM generate_series(1, 1000) n"

STOCK, OURS, DATABASE = "stock, pre_ping", "KeeperPool", "Database.session()"


class Phase(StrEnum):
    """Where in a unit of work the cancellation is to strike."""

    CHECKOUT = "checkout"
    UPDATE = "begin and update"
    QUERY = "query"
    COMMIT = "commit"
    CLOSE = "close"
    ROLL_BACK = "roll back"


Mark = Callable[[Phase], None]


class ExpectedError(Exception):
    """Ends a unit that is to roll back."""


@dataclass
class Candidate:
    """A pool, with what makes a session on it where it is SQLAlchemy's."""

    pool: Pool
    session: Callable[[], AbstractAsyncContextManager[AsyncSession]] | None
    commits_itself: bool = False

    async def unit(self, mark: Mark, number: int, fails: bool) -> None:
        mark(Phase.CHECKOUT)
        if self.session is None:
            await self._plain(mark, number, fails)
            return
        async with self.session() as session:
            mark(Phase.UPDATE)
            await session.execute(text("UPDATE thing SET changes = changes + 1 WHERE id = :id"), {"id": number})
            mark(Phase.QUERY)
            await session.execute(text("SELECT count(*) FROM generate_series(1, 100)"))
            if fails:
                mark(Phase.ROLL_BACK)
                raise ExpectedError
            mark(Phase.COMMIT)
            event.listen(session.sync_session, "after_commit", lambda _: mark(Phase.CLOSE))
            if not self.commits_itself:
                await session.commit()

    async def _plain(self, mark: Mark, number: int, fails: bool) -> None:
        async with self.pool.connection() as run_sql:
            mark(Phase.UPDATE)
            await run_sql("BEGIN")
            await run_sql(f"UPDATE thing SET changes = changes + 1 WHERE id = {number}")
            mark(Phase.QUERY)
            await run_sql("SELECT count(*) FROM generate_series(1, 100)")
            if fails:
                mark(Phase.ROLL_BACK)
                await run_sql("ROLLBACK")
                raise ExpectedError
            mark(Phase.COMMIT)
            await run_sql("COMMIT")
            mark(Phase.CLOSE)


COLUMNS = (
    *("pool", "driver", "cancelled", "connects", "discarded per victim"),
    *("bystanders served", "backends", "in transaction", "conserved"),
)
Make = Callable[[str], AbstractAsyncContextManager[Candidate]]


def of_engine(make: Callable[..., AbstractAsyncContextManager[Pool]]) -> Make:
    @asynccontextmanager
    async def made(url: str) -> AsyncGenerator[Candidate, None]:
        async with make(url, pool_size=SIZE, pool_timeout=30) as pool:
            yield Candidate(pool, lambda: AsyncSession(pool.engine))

    return made


def of_plain(make: Callable[..., AbstractAsyncContextManager[Pool]]) -> Make:
    @asynccontextmanager
    async def made(url: str) -> AsyncGenerator[Candidate, None]:
        async with make(url, pool_size=SIZE, pool_timeout=30) as pool:
            yield Candidate(pool, None)

    return made


@asynccontextmanager
async def of_database(url: str) -> AsyncGenerator[Candidate, None]:
    database = Database(url, pool_size=SIZE, max_overflow=0, min_idle=0)
    async with engine_of(database.engine) as pool:
        yield Candidate(pool, database.session, commits_itself=True)
    await database.close()


CONTENDERS: tuple[tuple[str, str, Make], ...] = (
    (STOCK, "asyncpg", of_engine(stock)),
    (STOCK, "psycopg", of_engine(stock)),
    ("asyncpg.Pool", "asyncpg", of_plain(of_asyncpg)),
    ("psycopg_pool", "psycopg", of_plain(of_psycopg)),
    (OURS, "asyncpg", of_engine(keeper)),
    (OURS, "psycopg", of_engine(keeper)),
    (DATABASE, "asyncpg", of_database),
    (DATABASE, "psycopg", of_database),
)


@dataclass
class Found:
    """`connects` come on top of those open at the beginning; `backends` are open at the end."""

    cancelled: int = 0
    bystanders: int = 0
    connects: int = 0
    backends: int = 0
    in_transaction: int = 0
    conserved: bool = True

    @property
    def discarded(self) -> float:
        return (SIZE + self.connects - self.backends) / VICTIMS

    @property
    def is_whole(self) -> bool:
        """Nothing lost, nothing left behind, everybody else served."""
        return self.conserved and self.backends <= SIZE and self.in_transaction == 0 and self.bystanders == VICTIMS


class Load:
    """Victims and bystanders, as many of each, in random order."""

    def __init__(self, candidate: Candidate, found: Found, width: float) -> None:
        self.candidate, self.found, self.width = candidate, found, width
        self.dice = random.Random(SEED)
        self.gate = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        victims = [phase for phase in Phase for _ in range(VICTIMS // len(Phase))]
        turns: list[Phase | None] = [*victims, *[None] * VICTIMS]
        self.dice.shuffle(turns)
        async with asyncio.TaskGroup() as tasks:
            for number, phase in enumerate(turns, 1):
                await self.gate.acquire()
                tasks.create_task(self.turn(number % 1000 + 1, phase))

    async def turn(self, number: int, phase: Phase | None) -> None:
        fails = phase is Phase.ROLL_BACK or (phase is None and self.dice.random() < 1 / len(Phase))
        request: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]
        moment = self.dice.uniform(0, self.width)

        def mark(reached: Phase) -> None:
            if reached is phase:
                asyncio.get_running_loop().call_later(moment, request.cancel)

        request = asyncio.create_task(self.candidate.unit(mark, number, fails))
        try:
            with suppress(ExpectedError):
                await request
            self.found.bystanders += phase is None
        except asyncio.CancelledError:
            self.found.cancelled += 1
        finally:
            self.gate.release()


async def measure_one(make: Make, server: EmbeddedPostgres, driver: str, delay: float) -> Found:
    found = Found()
    with FaultProxy(server.host, server.port) as proxy:
        url = server.url(driver)
        async with make(proxy.url(url) if delay else url) as candidate:
            await candidate.pool.open_together(SIZE)
            proxy.latency = delay / 2
            candidate.pool.connects.clear()
            # About as long as a phase takes.
            await asyncio.wait_for(Load(candidate, found, 0.0005 + 2 * delay).run(), 60)
            await asyncio.sleep(0.3)
            found.connects = len(candidate.pool.connects)
            activity = await asyncio.to_thread(server.activity)
            backends = [backend for backend in activity if backend.backend_type == "client backend"]
            found.backends = len(backends)
            found.in_transaction = sum((backend.state or "").startswith("idle in") for backend in backends)
            found.conserved = conserved(candidate.pool, len(backends))
    return found


def conserved(pool: Pool, backends: int) -> bool:
    """Whether nothing is in use, and what the pool counts is what the server sees."""
    if pool.own_engine is None:
        return True
    stock_or_ours = pool.engine.sync_engine.pool
    if isinstance(stock_or_ours, KeeperPool):
        counts: PoolCounts = stock_or_ours.counts()
        opened_is_accounted = counts.opened == counts.closed_total + counts.in_use + counts.idle + counts.checking
        return opened_is_accounted and counts.in_use == counts.waiting == 0 and counts.idle == backends
    return stock_or_ours.checkedout() == 0  # type: ignore[attr-defined,no-any-return]


async def measure(report: Report) -> None:
    # They warn of every connection that comes home in a transaction.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    found: dict[tuple[str, str], Found] = {}
    with EmbeddedPostgres(max_connections=200) as server:
        server.execute(TABLE + ROWS)
        for delay in DELAYS:
            for name, driver, make in CONTENDERS:
                where = f"{driver}, {'1 ms away' if delay else 'direct'}"
                progress(f"{name}, {where}")
                found[name, where] = await measure_one(make, server, driver, delay)
    rows = [row(name, where, each) for (name, where), each in found.items()]
    report.tables.append(Table(f"{VICTIMS} victims, {VICTIMS} bystanders, {AT_ONCE} at once", COLUMNS, rows))
    aim(report, found)


def aim(report: Report, found: dict[tuple[str, str], Found]) -> None:
    """Each against the stock pool on the same driver and network."""
    for ours in (OURS, DATABASE):
        pairs = [(each, found[STOCK, where]) for (name, where), each in found.items() if name == ours]
        worst, stock_there = max(pairs, key=lambda pair: pair[0].discarded / pair[1].discarded)
        report.target(
            f"{ours}: connections discarded per victim (worst against stock)",
            f"< stock's {stock_there.discarded:.2f}",
            f"{worst.discarded:.2f}",
            worst.discarded < stock_there.discarded,
        )
    whole = [each.is_whole for (name, _), each in found.items() if name in (OURS, DATABASE)]
    report.target("runs with everything conserved", f"all {len(whole)}", str(sum(whole)), all(whole))


def row(name: str, where: str, found: Found) -> tuple[str | int, ...]:
    discarded, kept = f"{found.discarded:.2f}", "yes" if found.is_whole else "no"
    return (
        name,
        where,
        found.cancelled,
        found.connects,
        discarded,
        found.bystanders,
        found.backends,
        found.in_transaction,
        kept,
    )


REPORT = Report(
    "cancelled",
    "Cancelled requests",
    "Units of work (BEGIN, UPDATE, SELECT, COMMIT), cancelled within checkout, begin and update, query, commit, close\n"
    f"or rollback, as many in each; as many bystanders. Pool of {SIZE}, all open. Stock with {', '.join(GUIDE)}.",
)

if __name__ == "__main__":
    run(REPORT, measure)
