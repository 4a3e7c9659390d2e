"""All idle connections fall silent at once, without a FIN: how long requests wait, and how many fail."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from bench.pools import Make, keeper, stock
from bench.report import Report, Table, progress, run

from poolkeeper.testing import EmbeddedPostgres, FaultProxy

SIZE = 20
REQUESTS = 40
CAP = 12.0
APART = 1.0
PING_TIMEOUT = 2.0
# Beyond the ping the pool opens new connections, two at a time.
SLACK = 0.25


@dataclass(frozen=True)
class Case:
    name: str
    driver: str
    make: Make
    idle: float


LONG, SHORT = 2.1, 0.5
OURS = "KeeperPool"
CASES = tuple(
    Case(name, driver, make, idle)
    for name, make, idle in (("stock, pre_ping", stock, LONG), (OURS, keeper, LONG), (OURS, keeper, SHORT))
    for driver in ("asyncpg", "psycopg")
)


@dataclass
class Found:
    longest: float
    ends: Counter[str]


async def drop(case: Case, server: EmbeddedPostgres) -> Found:
    """Have them all idle for so long, lose them, and send requests. New connections go through."""
    with FaultProxy(server.host, server.port) as proxy:
        url = proxy.url(server.url(case.driver))
        async with case.make(url, pool_size=SIZE, pool_timeout=30) as pool:
            await pool.open_together(SIZE)
            await asyncio.sleep(case.idle)
            proxy.drop("existing")
            began = time.perf_counter()

            async def request() -> tuple[float, str]:
                try:
                    await pool.request()
                except Exception as error:
                    return time.perf_counter() - began, type(error).__name__
                return time.perf_counter() - began, "served"

            tasks = [asyncio.create_task(request()) for _ in range(REQUESTS)]
            done, hanging = await asyncio.wait(tasks, timeout=CAP)
            ends = [task.result() for task in done] + [(CAP, "hanging")] * len(hanging)
            # What hangs in a driver does not end by being cancelled.
            proxy.reset()
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            return Found(max(seconds for seconds, _ in ends), Counter(end for _, end in ends))


async def measure(report: Report) -> None:
    async def later(number: int, case: Case) -> Found:
        await asyncio.sleep(number * APART)
        return await drop(case, server)

    progress(f"{len(CASES)} pools fall silent")
    with EmbeddedPostgres(max_connections=200) as server:
        found = await asyncio.gather(*(later(number, case) for number, case in enumerate(CASES)))
    rows = [_row(case, each) for case, each in zip(CASES, found, strict=True)]
    columns = ("pool", "idle for, s", "longest wait, s", "served", "failed", "still hanging")
    report.tables.append(
        Table(f"{SIZE} silent connections, {REQUESTS} requests, looked at for {CAP:.0f} s", columns, rows)
    )
    asked = [each for case, each in zip(CASES, found, strict=True) if case.name == OURS and case.idle == LONG]
    longest = max(each.longest for each in asked)
    served = min(each.ends["served"] for each in asked)
    report.target(
        "longest wait, idle for longer than ping_after",
        f"the ping's {PING_TIMEOUT:.0f} s (+ {SLACK} s to reconnect)",
        f"{longest:.2f} s",
        longest <= PING_TIMEOUT + SLACK,
    )
    trusted = max(each.longest for case, each in zip(CASES, found, strict=True) if case.idle == SHORT)
    report.target(
        "longest wait, heard from within ping_after",
        "the same",
        f"over {CAP:.0f} s" if trusted >= CAP else f"{trusted:.2f} s",
        trusted <= PING_TIMEOUT + SLACK,
    )
    report.target(
        "served, idle for longer than ping_after",
        f"{REQUESTS} of {REQUESTS}",
        f"{served} of {REQUESTS}",
        served == REQUESTS,
    )


def _row(case: Case, found: Found) -> tuple[str | float | int, ...]:
    served, hanging = found.ends["served"], found.ends["hanging"]
    longest = f"over {CAP:.0f}" if hanging else f"{found.longest:.2f}"
    return f"{case.name}, {case.driver}", case.idle, longest, served, REQUESTS - served - hanging, hanging


if __name__ == "__main__":
    report = Report(
        "silent_drop",
        "All idle connections fall silent",
        "A proxy keeps the sockets open and loses every byte; new connections go through. No command timeout is set:\n"
        "the pool asks a connection that was silent for ping_after (2 s), and trusts one that was heard from since.",
    )
    run(report, measure)
