"""The primary is restarted as a standby, or killed, and a replica promoted: who goes on writing, when, and where?"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.report import Report, Table, progress, run
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from poolkeeper import Database
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.postgres.replica import Replica

WRITERS, READERS, POOL = 10, 5, 5
# Seconds: between two requests of a client, of traffic before the switch, and after the promotion.
PAUSE, BEFORE, AFTER = 0.01, 0.5, 5.0
# A name follows the primary so many seconds after the promotion.
NAME_FOLLOWS = 1.0
PLANNED = 5.0
NAME = "primary.test"
STANDBY, READ_ONLY, KILLED = "restarted as a standby", "made read-only", "killed"
SUSPENDED = "suspend(), standby, resume()"
ONE_NAME, HOSTS, REPLICAS = "a name that moves", "several hosts", "primary and replica"
STOCK, OURS = "stock, pre_ping", "Database"

_INSERT = text("INSERT INTO note (body) VALUES ('') RETURNING current_setting('port')::int")
_READ = text("SELECT current_setting('port')::int FROM (SELECT count(*) FROM note) AS counted")

Work = Callable[[], AbstractAsyncContextManager[AsyncSession]]


@dataclass
class Cluster:
    """A primary, its replica, and a name that leads to one of them."""

    primary: EmbeddedPostgres
    replica: Replica
    named: int

    def url(self, way: str) -> str:
        ports = (self.primary.port, self.replica.port)
        match way:
            case "several hosts":
                hosts = "&".join(f"host=127.0.0.1:{port}" for port in ports)
                return f"postgresql+asyncpg://postgres@/postgres?{hosts}&target_session_attrs=read-write"
            case "a name that moves":
                return f"postgresql+asyncpg://postgres@{NAME}:5432/postgres"
            case _:
                return self.primary.url("asyncpg")

    def end(self, how: str) -> None:
        """What befalls the primary."""
        if how == KILLED:
            self.primary.kill()
            return
        if how == READ_ONLY:
            self.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            self.primary.execute("SELECT pg_reload_conf()")
            return
        self.primary.stop()
        self.primary.launcher.new_file(self.primary.data / "standby.signal", "")
        self.primary.start()


@contextmanager
def cluster() -> Generator[Cluster]:
    """Anew each time: nobody makes a promoted replica follow again."""
    with EmbeddedPostgres() as primary:
        primary.execute("CREATE TABLE note (id serial PRIMARY KEY, body text NOT NULL)")
        found, resolve = Cluster(primary, primary.add_replica(), primary.port), socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if host == NAME:
                host, port = "127.0.0.1", found.named
            return resolve(host, port, *args, **kwargs)

        socket.getaddrinfo = getaddrinfo
        try:
            yield found
        finally:
            socket.getaddrinfo = resolve


@dataclass
class Found:
    """What became of the requests; moments are of the monotonic clock."""

    promoted: float = 0.0
    written: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    failed: list[float] = field(default_factory=list[float])
    reads: int = 0
    failed_reads: int = 0
    ended: bool = False

    def delay(self, port: int) -> float | None:
        """Seconds from the promotion to the first write there."""
        return min((at - self.promoted for at, where in self.written if where == port), default=None)

    @property
    def failing_at_the_end(self) -> int:
        """Writes that failed in the last second."""
        end = max([at for at, _ in self.written] + self.failed, default=0.0)
        return sum(at > end - 1 for at in self.failed)


async def write(work: Work, found: Found) -> None:
    while not found.ended:
        try:
            async with work() as session:
                port = int(await session.scalar(_INSERT) or 0)
        except Exception:
            found.failed.append(time.monotonic())
        else:
            found.written.append((time.monotonic(), port))
        await asyncio.sleep(PAUSE)


async def read(work: Work, found: Found) -> None:
    while not found.ended:
        try:
            async with work() as session:
                await session.execute(_READ)
            found.reads += 1
        except Exception:
            found.failed_reads += 1
        await asyncio.sleep(PAUSE)


@asynccontextmanager
async def stock(there: Cluster, way: str) -> AsyncGenerator[tuple[Work, Work, None]]:
    engine = create_async_engine(there.url(way), pool_size=POOL, max_overflow=0, pool_pre_ping=True)
    make = async_sessionmaker(engine, expire_on_commit=False)
    yield make.begin, make, None
    await engine.dispose()


@asynccontextmanager
async def ours(there: Cluster, way: str) -> AsyncGenerator[tuple[Work, Work, Database]]:
    replicas = [there.replica.url("asyncpg")] if way == REPLICAS else []
    async with Database(there.url(way), replicas=replicas, pool_size=POOL, max_overflow=0) as database:
        yield database.session, database.read_session, database


async def drill(contender: str, way: str, how: str) -> tuple[Found, float | None]:
    """The requests, and the seconds from the promotion to the first write on the new primary."""
    with cluster() as there:
        found, pool = Found(), stock if contender == STOCK else ours
        async with pool(there, way) as (writing, reading, database), asyncio.TaskGroup() as group:
            for work, client, number in ((writing, write, WRITERS), (reading, read, READERS)):
                for _ in range(number):
                    group.create_task(client(work, found))
            await asyncio.sleep(BEFORE)
            await switch(there, how, found, database)
            await asyncio.sleep(NAME_FOLLOWS)
            there.named = there.replica.port
            await asyncio.sleep(AFTER - NAME_FOLLOWS)
            found.ended = True
        return found, found.delay(there.replica.port)


async def switch(there: Cluster, how: str, found: Found, database: Database | None) -> None:
    began = time.monotonic()
    if how == SUSPENDED and database is not None:
        database.suspend()
        while database.snapshot().in_use:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    await asyncio.to_thread(there.end, how)
    if how == SUSPENDED:
        await asyncio.sleep(began + PLANNED - time.monotonic())
    found.promoted = time.monotonic()
    await asyncio.to_thread(there.replica.promote)
    if how == SUSPENDED and database is not None:
        database.resume()


RUNS = (
    (STOCK, ONE_NAME, STANDBY),
    (OURS, ONE_NAME, STANDBY),
    (STOCK, HOSTS, STANDBY),
    (OURS, HOSTS, STANDBY),
    (OURS, REPLICAS, STANDBY),
    (STOCK, HOSTS, READ_ONLY),
    (OURS, HOSTS, READ_ONLY),
    (STOCK, HOSTS, KILLED),
    (OURS, HOSTS, KILLED),
    (OURS, REPLICAS, KILLED),
    (OURS, REPLICAS, SUSPENDED),
)


async def measure(report: Report) -> None:
    results: dict[tuple[str, str, str], tuple[Found, float | None]] = {}
    for key in RUNS:
        progress(", ".join(key))
        results[key] = await drill(*key)
    tell(report, results)


def tell(report: Report, results: dict[tuple[str, str, str], tuple[Found, float | None]]) -> None:
    columns = (
        "pool",
        "url",
        "primary",
        "writes",
        "failed",
        "failed in the last second",
        "first write on the new primary, s",
        "reads",
        "failed reads",
    )
    rows = [
        (*key, len(each.written), len(each.failed), each.failing_at_the_end, delay, each.reads, each.failed_reads)
        for key, (each, delay) in results.items()
    ]
    report.tables.append(Table(f"{WRITERS} writers, {READERS} readers, {POOL} connections", columns, rows))
    unplanned = [result for key, result in results.items() if key[0] == OURS and key[2] != SUSPENDED]
    slowest = max(float("inf") if delay is None else delay for _, delay in unplanned)
    report.target("Database: writes land on the new primary within", "10 s", f"{slowest:.1f} s", slowest <= 10)
    found = [each for key, (each, _) in results.items() if key[0] == OURS]
    most, bound = max(len(each.failed) for each in found), WRITERS + POOL
    report.target(
        "Database: failed writes, at most those in flight and one per connection",
        f"<= {bound}",
        str(most),
        most <= bound,
    )
    lost = sum(each.failed_reads for key, (each, _) in results.items() if key[1] == REPLICAS)
    report.target("Database with replicas: failed reads", "0", str(lost), lost == 0)
    planned, _ = results[OURS, REPLICAS, SUSPENDED]
    failed = len(planned.failed) + planned.failed_reads
    report.target(f"A planned switch of {PLANNED:g} s: failed requests", "0", str(failed), failed == 0)


REPORT = Report(
    "failover",
    "The primary changes",
    "The old primary is restarted as a standby, where SELECT 1 goes on succeeding, or killed; then its replica is\n"
    f"promoted. The name follows {NAME_FOLLOWS:g} s after the promotion. Each client pauses {PAUSE * 1000:.0f} ms "
    "between requests, and tries nothing twice.",
)

if __name__ == "__main__":
    run(REPORT, measure)
