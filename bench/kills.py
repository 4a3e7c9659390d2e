"""Transfers between accounts while connections are killed at random moments: is each applied exactly once?"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from bench.report import Report, Table, progress, quantile, run
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool
from tests.servers import running_mariadb

from poolkeeper import CommitUnknown, Database
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

KILLS = 1000
ACCOUNTS, RICH = 40, 1_000_000
CALLERS = 8
# Seconds, on average. Every tenth moment the network cuts all connections, in the others one session is killed.
BETWEEN_KILLS = 0.02
CUTS = 0.1
# One way. An answer that is on its way when its connection dies is lost after the server has done the work.
LATENCY = 0.002
TRIES = 10
SEED = 20_260_102

OURS, UNCHECKED, NAIVE = "run(), with a check", "run(), without one", "stock, retry on errors"

_TABLES = (
    "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL)",
    "CREATE TABLE transfer (number bigint NOT NULL, source int NOT NULL, target int NOT NULL, amount int NOT NULL)",
)
_WITH_KEY = "CREATE UNIQUE INDEX transfer_number ON transfer (number)"
_INSERT = text("INSERT INTO transfer VALUES (:number, :source, :target, :amount)")
_MOVE = text("UPDATE account SET balance = balance + :amount WHERE id = :id")
_APPLIED = text("SELECT count(*) FROM transfer WHERE number = :number")
_SESSIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}
_KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


@dataclass(frozen=True)
class Order:
    """A transfer that somebody wants, once."""

    number: int
    source: int
    target: int
    amount: int


Transfer = Callable[[Order], Awaitable[None]]
Make = Callable[[str], AbstractAsyncContextManager[Transfer]]


async def transfer(session: AsyncSession, order: Order) -> None:
    """One transaction of three statements; accounts are locked in one order, so that no two of them deadlock."""
    await session.execute(_INSERT, vars(order))
    moves = sorted([(order.source, -order.amount), (order.target, order.amount)])
    for account, amount in moves:
        await session.execute(_MOVE, {"id": account, "amount": amount})


async def was_applied(session: AsyncSession, order: Order) -> bool:
    return bool(await session.scalar(_APPLIED, {"number": order.number}))


@asynccontextmanager
async def by_run(url: str, *, checked: bool = True) -> AsyncGenerator[Transfer]:
    settings = {"pool_size": CALLERS, "min_idle": 0, "retry_attempts": TRIES, "retry_budget": 0.5}
    async with Database(url, **settings) as database:
        yield database.transactional(applied=was_applied if checked else None)(transfer)


@asynccontextmanager
async def by_run_unchecked(url: str) -> AsyncGenerator[Transfer]:
    async with by_run(url, checked=False) as one:
        yield one


@asynccontextmanager
async def by_hand(url: str) -> AsyncGenerator[Transfer]:
    """The stock pool with pre_ping, and the loop that everybody writes."""
    engine = create_async_engine(url, pool_size=CALLERS, max_overflow=0, pool_pre_ping=True)
    make = async_sessionmaker(engine, expire_on_commit=False)

    async def one(order: Order) -> None:
        for attempt in range(TRIES):
            try:
                async with make.begin() as session:
                    return await transfer(session, order)
            except (exc.DBAPIError, OSError):
                if attempt == TRIES - 1:
                    raise
            await asyncio.sleep(random.random() * 0.1 * 2**attempt)
        return None

    yield one
    await engine.dispose()


CONTENDERS: dict[str, Make] = {NAIVE: by_hand, UNCHECKED: by_run_unchecked, OURS: by_run}


@dataclass
class Found:
    """What callers were told, and what the tables say about it."""

    kills: int = 0
    seconds: float = 0.0
    told: Counter[str] = field(default_factory=Counter[str])
    errors: Counter[str] = field(default_factory=Counter[str])
    took: list[float] = field(default_factory=list[float])
    twice: int = 0
    missing: int = 0
    done_in_spite: int = 0
    wrong_balances: int = 0
    created: int = 0

    @property
    def asked(self) -> int:
        return self.told.total()


class Bank:
    """The accounts, seen past the contender and its proxy."""

    def __init__(self, admin: AsyncConnection) -> None:
        self._admin = admin
        self._dialect = "postgresql" if admin.dialect.name == "postgresql" else "mysql"
        self._dice = random.Random(SEED)
        self.orders: dict[Order, str] = {}

    async def open(self, *, with_key: bool) -> None:
        for table in ("transfer", "account"):
            await self._admin.execute(text(f"DROP TABLE IF EXISTS {table}"))
        for statement in (*_TABLES, *([_WITH_KEY] if with_key else [])):
            await self._admin.execute(text(statement))
        rows = [{"id": number, "balance": RICH} for number in range(ACCOUNTS)]
        await self._admin.execute(text("INSERT INTO account VALUES (:id, :balance)"), rows)

    def order(self, number: int) -> Order:
        source, target = self._dice.sample(range(ACCOUNTS), 2)
        return Order(number, source, target, self._dice.randrange(1, 1000))

    async def kill_one(self) -> int:
        """End the session of a random connection; how many that were."""
        numbers = (await self._admin.execute(text(_SESSIONS[self._dialect]))).scalars().all()
        if not numbers:
            return 0
        with suppress(exc.DBAPIError):
            await self._admin.execute(text(_KILL[self._dialect].format(self._dice.choice(numbers))))
            return 1
        return 0

    async def audit(self, found: Found) -> None:
        """Compare what was told with what was done."""
        done = Counter((await self._admin.execute(text("SELECT number FROM transfer"))).scalars().all())
        found.twice = sum(count > 1 for count in done.values())
        found.missing = sum(told == "done" and not done[order.number] for order, told in self.orders.items())
        found.done_in_spite = sum(told == "failed" and bool(done[order.number]) for order, told in self.orders.items())
        should = dict.fromkeys(range(ACCOUNTS), RICH)
        for order in self.orders:
            # What is unknown may be either; what is told is told.
            if done[order.number] and self.orders[order] != "failed":
                should[order.source] -= order.amount
                should[order.target] += order.amount
        rows = (await self._admin.execute(text("SELECT id, balance FROM account"))).all()
        found.wrong_balances = sum(should[row.id] != row.balance for row in rows)
        found.created = sum(row.balance for row in rows) - ACCOUNTS * RICH


async def drill(make: Make, url: str, proxy: FaultProxy, kills: int, *, with_key: bool) -> Found:
    """Callers transfer one after the other, until so many connections were killed; then everybody finishes."""
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as admin:
        bank, found = Bank(admin), Found()
        await bank.open(with_key=with_key)
        proxy.latency = LATENCY
        began, over = time.perf_counter(), asyncio.Event()
        async with make(proxy.url(url)) as one:
            callers = [asyncio.create_task(_call(one, bank, found, over, first)) for first in range(CALLERS)]
            await _kill(bank, proxy, found, kills)
            over.set()
            await asyncio.gather(*callers)
        found.seconds = time.perf_counter() - began
        await bank.audit(found)
    await engine.dispose()
    return found


async def _call(one: Transfer, bank: Bank, found: Found, over: asyncio.Event, first: int) -> None:
    number = first
    while not over.is_set():
        order, began = bank.order(number), time.perf_counter()
        try:
            await one(order)
            told = "done"
        except CommitUnknown:
            told = "unknown"
        except Exception as error:
            # Drivers' own errors get through where a connection breaks while it is being opened.
            told = "failed"
            found.errors[type(error).__name__] += 1
        found.took.append(time.perf_counter() - began)
        found.told[told] += 1
        bank.orders[order] = told
        number += CALLERS


async def _kill(bank: Bank, proxy: FaultProxy, found: Found, kills: int) -> None:
    dice = random.Random(SEED)
    while found.kills < kills:
        await asyncio.sleep(dice.random() * 2 * BETWEEN_KILLS)
        if dice.random() < CUTS:
            found.kills += proxy.counters.open
            await asyncio.to_thread(proxy.reset)
            await asyncio.sleep(0.1)
        else:
            found.kills += await bank.kill_one()


async def measure(report: Report) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres())
        mariadb = stack.enter_context(running_mariadb())
        mariadb.execute("CREATE DATABASE bank")
        found = {}
        for driver in ("asyncpg", "psycopg", "aiomysql"):
            host, url = ("127.0.0.1", mariadb.url(driver, "bank")) if driver == "aiomysql" else (None, "")
            url = url or server.url(driver)
            port = mariadb.port if host else server.port
            for name, make in CONTENDERS.items():
                progress(f"{driver}, {name}: {KILLS} kills")
                with FaultProxy(host or server.host, port) as proxy:
                    found[driver, name] = await drill(make, url, proxy, KILLS, with_key=name == OURS)
    tell(report, found)


def tell(report: Report, found: dict[tuple[str, str], Found]) -> None:
    columns = (
        "driver",
        "transfers",
        "connections killed",
        "asked",
        "told done",
        "told failed",
        "told unknown",
        "applied twice",
        "done, not applied",
        "failed, applied",
        "wrong balances",
        "p99, ms",
    )
    rows = [
        (
            *key,
            each.kills,
            each.asked,
            each.told["done"],
            each.told["failed"],
            each.told["unknown"],
            each.twice,
            each.missing,
            each.done_in_spite,
            each.wrong_balances,
            quantile(each.took, 0.99) * 1000,
        )
        for key, each in found.items()
    ]
    report.tables.append(Table(f"At least {KILLS} killed connections each, {CALLERS} callers", columns, rows))
    checked = [each for (_, name), each in found.items() if name == OURS]
    ours = [each for (_, name), each in found.items() if name != NAIVE]
    asked = sum(each.asked for each in checked)
    once = sum(each.told["done"] - each.twice - each.missing for each in checked)
    report.target(f"{OURS}: applied exactly once, all told so", f"{asked} of {asked}", str(once), once == asked)
    wrong = sum(each.twice + each.missing + each.done_in_spite for each in ours)
    report.target("run(): applied twice, or not as told", "0", str(wrong), wrong == 0)
    money = sum(abs(each.created) + each.wrong_balances for each in ours)
    report.target("run(): money made or lost, accounts that are wrong", "0", str(money), money == 0)


REPORT = Report(
    "kills",
    "Transfers while connections are killed",
    f"{CALLERS} callers, an INSERT and two UPDATEs per transaction, over a proxy that delays each way by "
    f"{LATENCY * 1000:.0f} ms.\nA random session is ended by the server every {BETWEEN_KILLS * 1000:.0f} ms on "
    "average, or the network cuts all.\nBoth retry up to 10 times; retry_budget=0.5. Only the one with a check has a "
    "unique key.",
)

if __name__ == "__main__":
    run(REPORT, measure)
