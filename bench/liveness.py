"""Idle connections that the server or the network ended: how many reach the application, and what looking costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.pools import Make, Pool, keeper, stock
from bench.report import Report, Table, progress, run

from poolkeeper.pool.liveness import look
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

SIZE = 25
ROUNDS, ROUNDS_OF_OTHERS = 10, 4
CHECKOUTS = 200
LOOKS = 20_000

OURS = "KeeperPool"
DRIVERS = ("asyncpg", "psycopg")
POOLS: dict[str, tuple[Make, dict[str, Any]]] = {
    "stock, no pre_ping": (stock, {"pool_pre_ping": False}),
    "stock, pre_ping": (stock, {}),
    OURS: (keeper, {}),
}
CONTROL = "stock, no pre_ping"


@dataclass
class Found:
    """Requests that failed, by the way that their connections died; round trips of a checkout with one statement."""

    deaths: int
    failed: dict[str, int]
    turns: float


def ways_to_die(server: EmbeddedPostgres, proxy: FaultProxy) -> dict[str, Callable[[], object]]:
    return {
        "terminate": server.terminate_backends,
        "FIN": proxy.close_all,
        "RST": proxy.reset,
        "restart": server.restart,
    }


async def failures(pool: Pool, kill: Callable[[], object], rounds: int) -> int:
    """All idle connections die, and as many requests come: how many fail, over all rounds.

    Every other round the event loop has not turned since, so that no driver can know.
    """
    failed = 0
    for number in range(rounds):
        await pool.open_together(SIZE)
        if number % 2:
            kill()
        else:
            await asyncio.to_thread(kill)
        ends = await asyncio.gather(*(pool.request() for _ in range(SIZE)), return_exceptions=True)
        failed += sum(isinstance(end, BaseException) for end in ends)
    return failed


async def turns_per_checkout(pool: Pool, proxy: FaultProxy) -> float:
    for _ in range(3 * SIZE):
        await pool.request()
    # What was sent last is counted by the proxy's own thread.
    await asyncio.sleep(0.05)
    proxy.reset_counters()
    for _ in range(CHECKOUTS):
        await pool.request()
    await asyncio.sleep(0.05)
    return proxy.counters.turns / CHECKOUTS


async def measure(name: str, driver: str) -> Found:
    make, options = POOLS[name]
    rounds = ROUNDS if name == OURS else ROUNDS_OF_OTHERS
    progress(f"{name}, {driver}: {4 * SIZE * rounds} deaths")
    with EmbeddedPostgres() as server, FaultProxy(server.host, server.port) as proxy:
        async with make(proxy.url(server.url(driver)), pool_size=SIZE, pool_timeout=10, **options) as pool:
            failed = {how: await failures(pool, kill, rounds) for how, kill in ways_to_die(server, proxy).items()}
            return Found(SIZE * rounds, failed, await turns_per_checkout(pool, proxy))


async def microseconds_per_look(driver: str) -> float:
    """What one look at a live connection takes, at best."""
    with EmbeddedPostgres() as server:
        async with (
            keeper(server.url(driver), pool_size=1, pool_timeout=10) as pool,
            pool.engine.connect() as connection,
        ):
            record: Any = getattr(await connection.get_raw_connection(), "_connection_record")  # noqa: B009
            return min(timed_looks(record) for _ in range(10))


def timed_looks(record: Any) -> float:
    began = time.perf_counter()
    for _ in range(LOOKS):
        look(record)
    return (time.perf_counter() - began) / LOOKS * 1e6


async def compare(report: Report) -> None:
    found = {(name, driver): await measure(name, driver) for name in POOLS for driver in DRIVERS}
    costs = {driver: await microseconds_per_look(driver) for driver in DRIVERS}
    rows = []
    for (name, driver), each in found.items():
        extra = each.turns - found[CONTROL, driver].turns
        cost = costs[driver] if name == OURS else None
        rows.append((f"{name}, {driver}", each.deaths, *each.failed.values(), f"{extra:.1f}", cost))
    columns = ("failed requests", "deaths of each kind", *ways_of(found), "extra round trips per checkout", "look, us")
    report.tables.append(Table("As many requests as deaths", columns, rows))
    ours = [found[OURS, driver] for driver in DRIVERS]
    reached_app = sum(sum(each.failed.values()) for each in ours)
    report.target(
        f"deaths that the application met, of {4 * sum(each.deaths for each in ours)}",
        "0",
        str(reached_app),
        reached_app == 0,
    )
    extra = max(found[OURS, driver].turns - found[CONTROL, driver].turns for driver in DRIVERS)
    report.target("extra round trips per checkout", "0", f"{extra:.1f}", extra < 0.05)
    report.target("a look", "<= 2 us", f"{max(costs.values()):.2f} us", max(costs.values()) <= 2)


def ways_of(found: dict[tuple[str, str], Found]) -> tuple[str, ...]:
    return tuple(next(iter(found.values())).failed)


if __name__ == "__main__":
    report = Report(
        "liveness",
        "Dead idle connections",
        f"A pool of {SIZE}, all idle, all ended at once; in half of the rounds the event loop has not turned since.",
    )
    run(report, compare)
