"""Connections opened together reach `recycle` under load: who waits, how many connect at once, what p99 does."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bench.pools import Make, Pool, keeper, stock
from bench.report import Report, Table, densest, progress, quantile, run
from sqlalchemy import event, make_url

from poolkeeper.model import PoolEvent, PoolEventKind
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

SIZE, RATE = 20, 200
RECYCLE, NEVER = 5, 3600
QUIET_SECONDS, SECONDS = 6.0, 15.0
DELAYS = (0.0, 0.002)
# A request this close to a connect may have felt it.
NEAR = 0.1

OURS = "KeeperPool"
POOLS: dict[str, Make] = {"stock": stock, OURS: keeper}

connected_here: ContextVar[list[float] | None] = ContextVar("connected_here", default=None)


@dataclass(frozen=True)
class Request:
    due: float
    seconds: float
    waited: bool


@dataclass
class Run:
    """A load and what the pool did meanwhile; `burst_waited` of as many requests as connections waited at its end."""

    requests: list[Request]
    connects: list[float]
    waited: int
    burst_waited: int

    @property
    def near(self) -> list[float]:
        """Latencies near a connect."""
        return [r.seconds for r in self.requests if any(abs(r.due - moment) <= NEAR for moment in self.connects)]


class Waits:
    """Counts the callers whom KeeperPool let wait for a connection that was opened meanwhile."""

    def __init__(self) -> None:
        self.count = 0
        self._opened: dict[object, float] = {}

    def notice(self, happened: PoolEvent) -> None:
        if happened.kind is PoolEventKind.CONNECTED:
            self._opened[happened.connection] = happened.at
        elif happened.kind is PoolEventKind.HANDED_OVER:
            asked = happened.at - happened.seconds
            self.count += self._opened[happened.connection] > asked


async def request(pool: Pool, due: float) -> Request:
    mine: list[float] = []
    connected_here.set(mine)
    await pool.request()
    return Request(due, time.perf_counter() - due, bool(mine))


async def load(pool: Pool, seconds: float) -> list[Request]:
    """Requests on schedule, whatever became of those before."""
    tasks = []
    began = time.perf_counter()
    for number in range(int(RATE * seconds)):
        due = began + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(request(pool, due)))
    return await asyncio.gather(*tasks)


class FarProxy:
    """A proxy in a process of its own: in ours it would wait whenever the event loop computes."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=forward, args=(theirs, server.host, server.port), daemon=True)
        self._process.start()
        self.port: int = self._ours.recv()

    def delay(self, seconds: float) -> None:
        self._ours.send(seconds)
        self._ours.recv()

    def close(self) -> None:
        self._ours.send(None)
        self._process.join()


def forward(orders: Connection, host: str, port: int) -> None:
    """The proxy's process: each order is a delay in seconds, None ends it."""
    with FaultProxy(host, port) as proxy:
        orders.send(proxy.port)
        while (seconds := orders.recv()) is not None:
            proxy.latency = seconds
            orders.send(seconds)


async def load_on(make: Make, proxy: FarProxy, url: str, delay: float, recycle: int) -> Run:
    waits = Waits()
    options: dict[str, Any] = {"observer": waits} if make is keeper else {}
    proxy.delay(0)
    async with make(url, pool_size=SIZE, pool_timeout=10, pool_recycle=recycle, **options) as pool:
        event.listen(pool.engine.sync_engine, "do_connect", note_where)
        await pool.open_together(SIZE)
        proxy.delay(delay)
        await asyncio.sleep(0.2)
        pool.connects.clear()
        waits.count = 0
        requests = await load(pool, QUIET_SECONDS if recycle == NEVER else SECONDS)
        waited = waits.count + sum(r.waited for r in requests)
        waits.count = 0
        burst = await asyncio.gather(*(request(pool, time.perf_counter()) for _ in range(SIZE)))
        return Run(requests, pool.connects, waited, waits.count + sum(r.waited for r in burst))


def note_where(*_: object) -> None:
    """A connect began; in a request if one runs in this context."""
    if (mine := connected_here.get()) is not None:
        mine.append(time.perf_counter())


async def measure(report: Report) -> None:
    rows: list[tuple[str | float | int | None, ...]] = []
    with EmbeddedPostgres() as server, closing(FarProxy(server)) as proxy:
        for delay in DELAYS:
            for name, make in POOLS.items():
                progress(f"{name}, {delay * 1000:.0f} ms each way")
                direct = server.url("asyncpg")
                through = make_url(direct).set(port=proxy.port).render_as_string(hide_password=False)
                where = through if delay else direct
                quiet = await load_on(make, proxy, where, delay, NEVER)
                expiring = await load_on(make, proxy, where, delay, RECYCLE)
                rows.append(row(report, name, delay, quiet, expiring))
    columns = (
        *("pool", "delay each way", "replaced", "waited", "in 100 ms"),
        *("quiet p50, ms", "quiet p99, ms", "p99 near a connect, ms", "ratio", "waited in a burst of 20"),
    )
    report.tables.append(Table(f"{SIZE} connections opened together, {RATE} requests per second", columns, rows))


def row(report: Report, name: str, delay: float, quiet: Run, expiring: Run) -> tuple[str | float | int | None, ...]:
    calm = [r.seconds for r in quiet.requests]
    calm_p99, near_p99 = quantile(calm, 0.99) * 1000, quantile(expiring.near, 0.99) * 1000
    ratio, most = near_p99 / calm_p99, densest(expiring.connects, 0.1)
    waited = f"{expiring.waited / len(expiring.requests):.2%}"
    if name == OURS:
        at = f"{delay * 1000:.0f} ms each way"
        nobody = expiring.waited == expiring.burst_waited == 0
        report.target(f"waited for a replacement, {at}", "0 %", f"{waited}, {expiring.burst_waited} of a burst", nobody)
        report.target(
            f"paced: most connects in 100 ms, {at}", f"<= {SIZE // 4}, a quarter", str(most), most <= SIZE // 4
        )
        report.target(f"p99 near a replacement / quiet p99, {at}", "<= 1.2", f"{ratio:.2f}", ratio <= 1.2)
    calm_p50 = quantile(calm, 0.5) * 1000
    connects = len(expiring.connects)
    shown_delay = f"{delay * 1000:.0f} ms"
    return name, shown_delay, connects, waited, most, calm_p50, calm_p99, near_p99, ratio, expiring.burst_waited


if __name__ == "__main__":
    report = Report(
        "recycle",
        "Connections opened together reach their age",
        f"recycle={RECYCLE} s over {SECONDS:.0f} s, against recycle={NEVER} in the same run; load and pool share an\n"
        f"event loop. `near` is within {NEAR * 1000:.0f} ms of a connect. asyncpg.",
    )
    run(report, measure)
