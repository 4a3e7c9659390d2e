"""What waiting callers go through when connects fail or are cancelled, and when the database is away."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

from bench.pools import Make, keeper, of_asyncpg, of_psycopg, stock
from bench.report import Report, Table, densest, progress, run
from bench.storm import Tally, storm

from poolkeeper.pool import KeeperPool
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

AWAY = 3.0
CALLERS = 50
SIZE = 5
# So far apart that one pool recovers at a time.
APART = 0.7
PATIENCE = 10.0
ROUNDS_AWAY = 3
LATENCY = 0.005
STORM_FAULTS = 10_000
SEED = 20_260_101

KEEPER = "KeeperPool"


@dataclass(frozen=True)
class Contender:
    name: str
    driver: str
    make: Make
    patience: float = 3.0
    rounds: int = 3


# Stock sleeps its whole pool_timeout: a short one says it as well.
CONTENDERS = (
    Contender("stock, asyncpg", "asyncpg", stock, patience=1.0, rounds=1),
    Contender("stock, psycopg", "psycopg", stock, patience=1.0, rounds=1),
    Contender("asyncpg.Pool", "asyncpg", of_asyncpg),
    Contender("psycopg_pool", "psycopg", of_psycopg),
    Contender(f"{KEEPER}, asyncpg", "asyncpg", keeper, rounds=5),
    Contender(f"{KEEPER}, psycopg", "psycopg", keeper, rounds=5),
)
OURS = tuple(contender for contender in CONTENDERS if contender.name.startswith(KEEPER))
OTHERS = tuple(contender for contender in CONTENDERS if contender not in OURS)


# One connect goes wrong


async def connect_time(contender: Contender, url: str) -> float:
    """Seconds for a first connect and a statement of a cold pool on this path, at best."""
    took: list[float] = []
    for _ in range(4):
        async with contender.make(url, pool_size=1, pool_timeout=contender.patience) as pool:
            began = time.perf_counter()
            await pool.request()
            took.append(time.perf_counter() - began)
    return min(took)


async def next_starts(contender: Contender, proxy: FaultProxy, url: str, how: str, usual: float) -> float:
    """A pool of 1 and three callers; the first connect goes wrong while the others wait.

    Returns the seconds until a connect for another caller begins, or until one is served, less what a connect takes.
    """
    async with contender.make(url, pool_size=1, pool_timeout=contender.patience) as pool:
        served: list[float] = []

        async def caller() -> None:
            await pool.request()
            served.append(time.perf_counter())

        if how == "fails":
            proxy.accept_and_hang()
        tasks = [asyncio.create_task(caller()) for _ in range(3)]
        await asyncio.sleep(usual / 2)
        if how == "fails":
            proxy.heal()
            proxy.latency = LATENCY
            proxy.reset()
        else:
            tasks[0].cancel()
        went_wrong = time.perf_counter()
        await asyncio.wait(tasks, timeout=contender.patience + 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        starts = [began for began in pool.connects if began > went_wrong]
        starts += [max(went_wrong, moment - usual) for moment in served]
        return min(starts, default=float("inf")) - went_wrong


async def one_goes_wrong(report: Report, server: EmbeddedPostgres) -> None:
    rows = []
    ours: list[float] = []
    for contender in CONTENDERS:
        progress(f"one connect goes wrong: {contender.name}")
        latest = []
        for how in ("fails", "cancelled"):
            with FaultProxy(server.host, server.port) as proxy:
                proxy.latency = LATENCY
                url = proxy.url(server.url(contender.driver))
                usual = await connect_time(contender, url)
                late = [await next_starts(contender, proxy, url, how, usual) for _ in range(contender.rounds)]
            latest.append(max(late) * 1000)
            if contender in OURS:
                ours.append(max(late) * 1000)
        rows.append((contender.name, f"{contender.patience:.0f} s", *latest))
    columns = ("pool of 1, three callers", "pool_timeout", "connect fails: next starts after, ms", "is cancelled, ms")
    report.tables.append(Table("One connect goes wrong while others wait (worst round)", columns, rows))
    report.target(
        "next waiter starts after a failed or cancelled connect", "<= 10 ms", f"{max(ours):.1f} ms", max(ours) <= 10
    )


# Ten thousand go wrong


def many_go_wrong(report: Report) -> None:
    progress(f"{STORM_FAULTS} connects fail and callers are cancelled")
    found: dict[str, Tally] = {
        "stock": storm(STORM_FAULTS, SEED),
        KEEPER: storm(STORM_FAULTS, SEED, poolclass=KeeperPool),
    }
    columns = (
        "scripted pools of 2",
        "callers",
        "failed connects",
        "cancelled callers",
        "stranded",
        "connections left open",
    )
    rows = [(name, t.callers, t.failed_connects, t.cancelled, t.stranded, t.left_open) for name, t in found.items()]
    report.tables.append(Table(f"{STORM_FAULTS} random failures and cancels (seed {SEED})", columns, rows))
    ours = found[KEEPER]
    report.target(f"stranded in {ours.faults} failures and cancels", "0", str(ours.stranded), ours.stranded == 0)


# The database is away


@dataclass
class Outage:
    served: int
    failed: int
    last_served: float | None
    connects: int
    densest: int


async def outage(make: Make, proxy: FaultProxy, url: str, fault: str) -> Outage:
    """A cold pool and its callers, who come while the database is away."""
    async with make(url, pool_size=SIZE, pool_timeout=PATIENCE) as pool:
        if fault == "refuses":
            proxy.refuse()
        else:
            proxy.reset("all")
        served: list[float] = []

        async def caller() -> None:
            await pool.request()
            served.append(time.perf_counter())

        came = time.perf_counter()
        tasks = [asyncio.create_task(caller()) for _ in range(CALLERS)]
        await asyncio.sleep(came + AWAY - time.perf_counter())
        proxy.heal()
        back = time.perf_counter()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        failed = sum(isinstance(end, BaseException) for end in ends)
        last = max(served) - back if served else None
        return Outage(len(served), failed, last, len(pool.connects), densest(pool.connects, 0.1))


async def database_away(report: Report, server: EmbeddedPostgres) -> None:
    rows = []
    ours: list[Outage] = []
    for contenders, rounds in ((OTHERS, 1), (OURS, ROUNDS_AWAY)):
        progress(f"the database is away for {AWAY:.0f} s: {', '.join(contender.name for contender in contenders)}")
        for (contender, fault), found in (await outages(server, contenders, rounds)).items():
            rows.append((contender.name, fault, *worst(found)))
            ours += found if contenders is OURS else []
    columns = (
        "pool of 5, 50 callers",
        "the database",
        "served",
        "failed",
        "last served after, s",
        "connects",
        "in 100 ms",
    )
    title = f"Away for {AWAY:.0f} s, pool_timeout {PATIENCE:.0f} s (worst round)"
    report.tables.append(Table(title, columns, rows))
    served, _, last, _, most = worst(ours)
    all_served = f"{served} of {CALLERS}" + ("" if last is None else f", {last:.3f} s")
    report.target(
        "all served after the database is back",
        f"{CALLERS} of {CALLERS}, <= 0.25 s",
        all_served,
        served == CALLERS and last is not None and last <= 0.25,
    )
    report.target("no storm: most connects in 100 ms", f"<= {SIZE}, the pool's size", str(most), most <= SIZE)


def worst(found: list[Outage]) -> tuple[int, int, float | None, int, int]:
    return (
        min(o.served for o in found),
        max(o.failed for o in found),
        max((o.last_served for o in found if o.last_served is not None), default=None),
        max(o.connects for o in found),
        max(o.densest for o in found),
    )


async def outages(
    server: EmbeddedPostgres, contenders: tuple[Contender, ...], rounds: int
) -> dict[tuple[Contender, str], list[Outage]]:
    """All of them with both faults, staggered, each behind a network of its own."""
    cases = [(contender, fault) for contender in contenders for fault in ("refuses", "accepts and closes")] * rounds

    async def later(number: int, contender: Contender, fault: str, proxy: FaultProxy) -> Outage:
        await asyncio.sleep(number * APART)
        return await outage(contender.make, proxy, proxy.url(server.url(contender.driver)), fault)

    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(server.host, server.port)) for _ in cases]
        runs = (later(n, *case, proxy) for n, (case, proxy) in enumerate(zip(cases, proxies, strict=True)))
        ends = await asyncio.gather(*runs)
    return {case: [end for end, its in zip(ends, cases, strict=True) if its == case] for case in cases}


async def on_a_server(report: Report) -> None:
    with EmbeddedPostgres() as server:
        await one_goes_wrong(report, server)
        await database_away(report, server)


def measure(report: Report) -> None:
    many_go_wrong(report)
    asyncio.run(on_a_server(report))


if __name__ == "__main__":
    report = Report(
        "outage",
        "Connects that fail, and a database that is away",
        "A real PostgreSQL behind a proxy that refuses, hangs or resets; the pools of two connections are scripted.",
    )
    run(report, measure)
