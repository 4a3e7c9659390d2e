"""How far a caller's wait overshoots pool_timeout when the database is slow, takes no connections, or went silent."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from bench.pools import Make, Pool, keeper, stock
from bench.report import Report, Table, progress, run
from sqlalchemy import exc, make_url

from poolkeeper.testing import EmbeddedPostgres, FaultProxy

TIMEOUT = 0.2
CAP = 6.0
ROUNDS = 3
# Two round trips make a connection: 2 s.
SLOW_LINK = 0.5
# They run at the same time, for they mostly wait; but what begins is not to delay what ends.
APART = 0.27
# Longer than KeeperPool's `ping_after`, so that the connection has to be asked.
SILENCE = 2.1

OURS = "KeeperPool"
POOLS = {"stock": stock, OURS: keeper}
DRIVERS = ("asyncpg", "psycopg")

Overshoot = float
Case = Callable[[Make, FaultProxy, str], Awaitable[Overshoot]]


async def slow_connect(make: Make, proxy: FaultProxy, url: str) -> Overshoot:
    """A connect that takes 2 s."""
    async with make(url, pool_size=1, pool_timeout=TIMEOUT) as pool:
        # What SQLAlchemy asks a server once is not what is measured.
        await patiently(pool)
        await pool.engine.dispose()
        proxy.latency = SLOW_LINK
        return await overshoot(pool)


async def never_answers(make: Make, proxy: FaultProxy, url: str) -> Overshoot:
    """A host that accepts and never answers."""
    async with make(url, pool_size=1, pool_timeout=TIMEOUT) as pool:
        proxy.accept_and_hang()
        return await overshoot(pool)


async def never_accepts(make: Make, proxy: FaultProxy, url: str) -> Overshoot:  # noqa: ARG001 - every case has the same arguments
    """A host whose backlog is full: it does not even accept."""
    with full_backlog() as port:
        there = make_url(url).set(port=port).render_as_string(hide_password=False)
        async with make(there, pool_size=1, pool_timeout=TIMEOUT) as pool:
            return await overshoot(pool)


async def black_hole(make: Make, proxy: FaultProxy, url: str) -> Overshoot:
    """An idle connection whose network went silent."""
    async with make(url, pool_size=1, pool_timeout=TIMEOUT) as pool:
        await patiently(pool)
        proxy.drop()
        await asyncio.sleep(SILENCE)
        return await overshoot(pool)


CASES: dict[str, Case] = {
    "connect takes 2 s": slow_connect,
    "host accepts and never answers": never_answers,
    "host never accepts (full backlog)": never_accepts,
    "idle connection in a black hole": black_hole,
}


async def patiently(pool: Pool) -> None:
    """A request that may take longer than the timeout on a busy machine, for a connection to begin with."""
    while True:
        try:
            return await pool.request()
        except exc.TimeoutError:
            await asyncio.sleep(0.1)


async def overshoot(pool: Pool) -> Overshoot:
    """Seconds beyond TIMEOUT until a caller has its connection or an error; CAP ends the wait."""
    began = time.perf_counter()

    async def connect() -> float:
        try:
            async with pool.connection():
                return time.perf_counter() - began
        except (exc.TimeoutError, exc.DBAPIError):
            return time.perf_counter() - began

    # Not wait_for: what is cancelled may take seconds to end.
    task = asyncio.create_task(connect())
    await asyncio.wait([task], timeout=CAP)
    waited = task.result() if task.done() else CAP
    task.cancel()
    await asyncio.wait([task], timeout=3)
    assert waited >= TIMEOUT, "no case here ends before its timeout"
    return waited - TIMEOUT


@contextmanager
def full_backlog() -> Generator[int]:
    """A port whose listener accepts nobody, and whose queue is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    try:
        yield listener.getsockname()[1]
    finally:
        for each in (*fillers, listener):
            each.close()


async def rounds(server: EmbeddedPostgres, name: str, driver: str, case: Case, after: float) -> Overshoot:
    """The worst of several, or one where waiting for the cap says enough."""
    worst, make = 0.0, POOLS[name]
    await asyncio.sleep(after)
    for _ in range(ROUNDS if name == OURS else 1):
        with FaultProxy(server.host, server.port) as proxy:
            worst = max(worst, await case(make, proxy, proxy.url(server.url(driver))))
    return worst


async def measure(report: Report) -> None:
    pools = [(name, driver) for name in POOLS for driver in DRIVERS]
    with EmbeddedPostgres() as server:
        progress(f"{len(CASES)} cases, stock and KeeperPool, on two drivers")
        keys = [(pool, what) for pool in pools for what in CASES]
        runs = (rounds(server, *pool, CASES[what], after=number * APART) for number, (pool, what) in enumerate(keys))
        ends = await asyncio.gather(*runs)
    found = dict(zip(keys, ends, strict=True))
    rows = [(what, *(_ms(found[pool, what]) for pool in pools)) for what in CASES]
    columns = ("overshoot, ms", *(f"{name}, {driver}" for name, driver in pools))
    report.tables.append(Table(f"pool_timeout {TIMEOUT} s (worst round)", columns, rows))
    for what in CASES:
        worst = max(found[(OURS, driver), what] for driver in DRIVERS)
        report.target(f"overshoot: {what}", "<= 50 ms", _ms(worst), worst <= 0.05)


def _ms(overshoot: Overshoot) -> str:
    return f"over {overshoot * 1000:.0f}" if overshoot >= CAP - TIMEOUT else f"{overshoot * 1000:.1f}"


if __name__ == "__main__":
    report = Report(
        "deadline",
        "One deadline",
        f"Seconds from engine.connect() to a connection or an error, less pool_timeout; looked at for {CAP:.0f} s.",
    )
    run(report, measure)
