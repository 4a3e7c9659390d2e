"""Callers of pools on a real PostgreSQL, with or without PgBouncer in between, and what they met."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from statistics import fmean, pvariance

import numpy as np
from bench.report import Cell, quantile
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimedOut
from tests.servers import PgBouncer, end, find_program, server_folder, start_program, wait_until

from poolkeeper import Database
from poolkeeper.model import Histogram
from poolkeeper.planner import simulate as sim
from poolkeeper.planner.pgbouncer import PoolerPlan, Tenant, share_out
from poolkeeper.planner.queueing import knee
from poolkeeper.report.pgbouncer import INI, PASSWORD, Site, files
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.ports import ReservedPort

SECONDS, WARM_UP = 18.0, 2.0
POOL, HOLD = 5, 0.04
CAPACITY = POOL / HOLD
POOL_TIMEOUT, PATIENCE = 10.0, 1.0
# Differences that are nobody's concern.
NO_WAIT, NO_SHARE = 0.002, 0.01
BUCKETS = 200
USERS = {"orders": "postgres", "reports": "reports"}


@dataclass(frozen=True)
class Workload:
    """Arrivals and holds, in poolkeeper's own words; `reason` is why the formula cannot know them."""

    name: str
    arrivals: sim.Arrivals
    holds: sim.Holds
    reason: str = ""


SHORT, LONG = HOLD / 4, HOLD * 4
WORKLOADS = (
    Workload("light", sim.Poisson(0.25 * CAPACITY), sim.Exponential(HOLD)),
    Workload("near the knee", sim.Poisson(knee(HOLD, POOL).rate), sim.Exponential(HOLD)),
    Workload("overloaded, shedding", sim.Poisson(1.5 * CAPACITY), sim.Exponential(HOLD)),
    Workload(
        "bimodal hold",
        sim.Poisson(0.55 * CAPACITY),
        sim.Bimodal(SHORT, LONG, 0.2),
        "two kinds of holds have a longer tail than mean and variance tell",
    ),
    Workload(
        "bursty",
        sim.Bursts(0.4 * CAPACITY, 1.4 * CAPACITY, 1.0, 0.25),
        sim.Exponential(HOLD),
        "arrivals are no Poisson process: bursts last longer than a queue remembers",
    ),
)


@dataclass
class Request:
    """One caller: when it asked, how long it meant to hold, and how long it waited and held, if it was served."""

    asked: float
    planned: float
    wait: float | None = None
    hold: float | None = None


@dataclass
class Measured:
    """What callers met; times in seconds. `places` is how many could be served at once. Whoever asked before `begins`
    does not count."""

    workload: Workload
    places: int
    begins: float = 0.0
    requests: list[Request] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    @property
    def counted(self) -> list[Request]:
        return [request for request in self.requests if request.asked >= self.begins]

    @property
    def waits(self) -> list[float]:
        return [request.wait for request in self.counted if request.wait is not None]

    @property
    def holds(self) -> list[float]:
        return [request.hold for request in self.counted if request.hold is not None]

    @property
    def span(self) -> float:
        return self.counted[-1].asked - self.counted[0].asked

    @property
    def rate(self) -> float:
        return len(self.counted) / self.span

    @property
    def scv(self) -> float:
        return pvariance(self.holds) / fmean(self.holds) ** 2

    def figures(self) -> Figures:
        utilisation = min(1.0, sum(self.holds) / self.span / self.places)
        lost = sum(request.hold is None for request in self.counted) / len(self.counted)
        return Figures(utilisation, fmean(self.waits), quantile(self.waits, 0.99), lost)

    def histogram(self) -> Histogram:
        """The holds in so many buckets that nothing is lost."""
        bounds = sorted({quantile(self.holds, share / BUCKETS) for share in range(1, BUCKETS)} | {max(self.holds)})
        counts = np.histogram(self.holds, [-math.inf, *np.nextafter(bounds, math.inf)])[0]
        return Histogram((*map(int, counts), 0), sum(self.holds), tuple(bounds))

    def same_holds(self) -> Replayed:
        """The holds of all requests; of those that were not served, what they would have taken."""
        served = [request for request in self.requests if request.hold is not None]
        beyond = fmean((request.hold or 0.0) - request.planned for request in served)
        return Replayed(tuple(each.planned + beyond if each.hold is None else each.hold for each in self.requests))


@dataclass(frozen=True)
class Replayed:
    """Holds in the order of the requests that had them."""

    times: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.times)

    @property
    def scv(self) -> float:
        return pvariance(self.times) / self.mean**2

    def draw(self, dice: np.random.Generator, number: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:  # noqa: ARG002
        return np.array(self.times[:number])


@dataclass(frozen=True)
class Figures:
    """The share of places in use, mean and p99 wait (seconds) of the served, and the share that was not served."""

    utilisation: float
    mean: float
    p99: float
    lost: float

    def cells(self) -> tuple[Cell, ...]:
        return f"{self.utilisation:.1%}", self.mean * 1000, self.p99 * 1000, f"{self.lost:.1%}"

    def off(self, measured: Figures) -> float:
        """The largest deviation from what was measured, as a share of it; small differences do not count."""
        return max(
            _off(self.utilisation, measured.utilisation, NO_SHARE),
            _off(self.mean, measured.mean, NO_WAIT),
            _off(self.p99, measured.p99, NO_WAIT),
            _off(self.lost, measured.lost, NO_SHARE),
        )


def _off(predicted: float, measured: float, nothing: float) -> float:
    difference = abs(predicted - measured)
    return 0.0 if difference <= nothing else difference / max(measured, nothing)


async def offered(times: Sequence[float], request: Callable[[], Awaitable[None]], measured: Measured) -> None:
    """Start a request at each of these times, whatever became of the others."""
    began = time.perf_counter()
    tasks: list[asyncio.Task[None]] = []
    for due in times:
        ahead = began + due - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
        if due >= WARM_UP:
            measured.late.append(time.perf_counter() - began - due)
        tasks.append(asyncio.ensure_future(request()))
    await asyncio.gather(*tasks)


def times_of(arrivals: sim.Arrivals, seed: int) -> list[float]:
    times: list[float] = []
    for batch in arrivals.times(np.random.default_rng(seed)):
        times += [float(each) for each in batch if each < WARM_UP + SECONDS]
        # A short spell may have none.
        if len(batch) and batch[-1] >= WARM_UP + SECONDS:
            break
    return times


async def direct(url: str, workload: Workload, seed: int) -> Measured:
    """Callers of one pool in front of the server itself."""
    times, measured = times_of(workload.arrivals, seed), Measured(workload, POOL)
    holds = iter(workload.holds.draw(np.random.default_rng(seed + 1), len(times)))
    settings = {"pool_size": POOL, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT, "client_timeout": PATIENCE}
    async with Database(url, **settings) as database:
        measured.begins = time.perf_counter() + WARM_UP

        async def ask() -> None:
            request = Request(time.perf_counter(), float(next(holds)))
            measured.requests.append(request)
            with suppress(PoolTimedOut):
                async with database.engine.connect() as connection:
                    given = time.perf_counter()
                    await connection.execute(text("SELECT pg_sleep(:hold)"), {"hold": request.planned})
                request.wait, request.hold = given - request.asked, time.perf_counter() - given

        await offered(times, ask, measured)
    return measured


# Two services behind PgBouncer

APP_POOL = 20
SERVICES = {
    "orders": Workload("orders, behind PgBouncer", sim.Poisson(60.0), sim.Exponential(HOLD)),
    "reports": Workload("reports, behind PgBouncer", sim.Poisson(15.0), sim.Exponential(2 * HOLD)),
}
BUDGET = 7


def pooler_plan() -> PoolerPlan:
    tenants = [
        Tenant(
            name,
            load=each.arrivals.rate * each.holds.mean,
            burst_load=each.arrivals.rate * each.holds.mean,
            clients=APP_POOL,
            slow_hold=0.1,
            patience=PATIENCE + 4,
            user=USERS[name],
        )
        for name, each in SERVICES.items()
    ]
    return share_out(tenants, BUDGET)


@asynccontextmanager
async def running_pgbouncer(server: EmbeddedPostgres, plan: PoolerPlan) -> AsyncGenerator[int]:
    """PgBouncer with the files of the plan; its port."""
    program = find_program("pgbouncer", "pgbouncer")
    with server_folder(PgBouncer.RUN_AS) as folder, closing(ReservedPort()) as reserved:
        site = Site(server.host, server.port, "postgres", folder, reserved.number)
        for name, content in files(plan, site, {}).items():
            (folder / name).write_text(content if name == INI else content.replace(PASSWORD, "bench"))
            shutil.chown(folder / name, PgBouncer.RUN_AS)
        process = start_program([program, f"{folder}/{INI}"], folder, PgBouncer.RUN_AS)
        try:
            wait_until(lambda: "process up" in (folder / "log").read_text(), process, folder)
            yield reserved.number
        finally:
            end(process)


async def behind_pgbouncer(port: int, plan: PoolerPlan, name: str, seed: int) -> Measured:
    """Callers of one service. The first statement waits for a server connection, and for nothing else."""
    workload = SERVICES[name]
    times, measured = times_of(workload.arrivals, seed), Measured(workload, plan.shares[name].pool_size)
    holds = iter(workload.holds.draw(np.random.default_rng(seed + 1), len(times)))
    url = f"postgresql+asyncpg://{USERS[name]}:bench@127.0.0.1:{port}/{name}"
    settings = {"pool_size": APP_POOL, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT}
    async with Database(url, provider="pgbouncer-transaction", **settings) as database:
        measured.begins = time.perf_counter() + WARM_UP

        async def ask() -> None:
            request = Request(time.perf_counter(), float(next(holds)))
            measured.requests.append(request)
            with suppress(PoolTimedOut, DBAPIError):
                async with database.engine.connect() as connection:
                    began = time.perf_counter()
                    await connection.execute(text("SELECT 1"))
                    given = time.perf_counter()
                    await connection.execute(text("SELECT pg_sleep(:hold)"), {"hold": request.planned})
                request.wait, request.hold = given - began, time.perf_counter() - given

        await offered(times, ask, measured)
    # What the statement itself takes where nothing is in its way is part of the hold.
    alone = quantile(measured.waits, 0.05)
    for request in measured.requests:
        if request.wait is not None and request.hold is not None:
            request.wait, request.hold = max(0.0, request.wait - alone), request.hold + alone
    return measured
