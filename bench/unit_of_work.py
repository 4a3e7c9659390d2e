"""One unit of work - connection, SELECT by id, end - over a network with a round trip of 1 ms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.report import Report, Table, median, progress, quantile, run
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from poolkeeper import Database
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

ROUND_TRIP = 0.001
ROUNDS, UNITS = 10, 30
SIZE = 20
DRIVERS = ("asyncpg", "psycopg")

GUIDE, WITHOUT_PING = "guide: pre_ping, commit at end", "guide without pre_ping"
WRITE, READ = "keeper.write", "keeper.read"
TABLE = "CREATE TABLE thing (id int PRIMARY KEY, name text NOT NULL);"
ROWS = "INSERT INTO thing SELECT n, 'thing ' || n FROM generate_series(1, 1000) n"

Unit = Callable[[int], Awaitable[Any]]


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass
class Found:
    """Of each unit: seconds, and round trips counted at the proxy."""

    seconds: list[float]
    turns: float = 0.0

    @property
    def p50(self) -> float:
        return median(self.seconds)


async def look_up(session: AsyncSession, number: int) -> None:
    found = await session.scalar(select(Thing.name).where(Thing.id == number))
    assert found == f"thing {number}", found


@asynccontextmanager
async def guide(url: str, *, pre_ping: bool) -> AsyncGenerator[Unit, None]:
    engine = create_async_engine(
        url, pool_size=SIZE, max_overflow=0, pool_timeout=30, pool_recycle=3600, pool_pre_ping=pre_ping
    )
    make = async_sessionmaker(engine, expire_on_commit=False)

    async def unit(number: int) -> None:
        async with make() as session:
            await look_up(session, number)
            await session.commit()

    try:
        yield unit
    finally:
        await engine.dispose()


@asynccontextmanager
async def ours(url: str, *, reads: bool) -> AsyncGenerator[Unit, None]:
    """What the dependencies `keeper.read` and `keeper.write` are made of."""
    database = Database(url, pool_size=SIZE, max_overflow=0)
    begin = database.read_session if reads else database.session

    async def unit(number: int) -> None:
        async with begin() as session:
            await look_up(session, number)

    try:
        yield unit
    finally:
        await database.close()


CONTENDERS: dict[str, Callable[[str], AbstractAsyncContextManager[Unit]]] = {
    GUIDE: lambda url: guide(url, pre_ping=True),
    WITHOUT_PING: lambda url: guide(url, pre_ping=False),
    WRITE: lambda url: ours(url, reads=False),
    READ: lambda url: ours(url, reads=True),
}


async def timed(unit: Unit, proxy: FaultProxy, found: Found) -> None:
    proxy.reset_counters()
    for number in range(1, UNITS + 1):
        began = time.perf_counter()
        await unit(number)
        found.seconds.append(time.perf_counter() - began)
    # What was sent last is counted by the proxy's own thread.
    await asyncio.sleep(0.02)
    found.turns += proxy.counters.turns / UNITS / ROUNDS


async def compare(driver: str, server: EmbeddedPostgres) -> dict[str, Found]:
    """Everybody in turn, round after round."""
    with FaultProxy(server.host, server.port) as proxy:
        proxy.latency = ROUND_TRIP / 2
        async with AsyncExitStack() as stack:
            url = proxy.url(server.url(driver))
            units = {name: await stack.enter_async_context(make(url)) for name, make in CONTENDERS.items()}
            found = {name: Found([]) for name in units}
            for unit in units.values():
                # The first units prepare statements and look types up.
                for number in range(1, 2 * SIZE):
                    await unit(number)
            for number in range(ROUNDS):
                progress(f"{driver}: round {number + 1} of {ROUNDS}")
                for name, unit in units.items():
                    await timed(unit, proxy, found[name])
            return found


async def measure(report: Report) -> None:
    rows = []
    with EmbeddedPostgres() as server:
        server.execute(TABLE + ROWS)
        for driver in DRIVERS:
            found = await compare(driver, server)
            base = found[GUIDE].p50
            for name, each in found.items():
                p99 = quantile(each.seconds, 0.99) * 1000
                rows.append((driver, name, f"{each.turns:.2f}", each.p50 * 1000, p99, f"{each.p50 / base:.2f}"))
            if driver == "asyncpg":
                aim(report, found)
    columns = ("driver", "unit of work", "round trips", "p50, ms", "p99, ms", "p50 / guide's")
    report.tables.append(Table(f"{ROUNDS * UNITS} units of work each", columns, rows))


def aim(report: Report, found: dict[str, Found]) -> None:
    """The targets are against the guide's configuration on asyncpg."""
    for name, turns, ratio in ((READ, 1, 0.25), (WRITE, 3, 0.55)):
        each = found[name]
        measured = each.p50 / found[GUIDE].p50
        report.target(f"{name}, asyncpg: round trips", str(turns), f"{each.turns:.2f}", round(each.turns, 1) <= turns)
        report.target(f"{name}, asyncpg: p50 / guide's", f"<= {ratio}", f"{measured:.2f}", measured <= ratio)


REPORT = Report(
    "unit_of_work",
    "A unit of work",
    f"Session, SELECT by id, end, one after the other, over a proxy that adds {ROUND_TRIP * 1000:.0f} ms per round\n"
    "trip and counts them. Guide: stock pool, pool_size=20, max_overflow=0, pool_recycle=3600, pool_pre_ping=True.",
)

if __name__ == "__main__":
    run(REPORT, measure)
