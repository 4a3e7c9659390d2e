"""Thousands of waiting callers: what each costs to park, to serve and to send away, in time and in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.report import Report, Table, progress, run
from bench.waiters import SIZE

from poolkeeper.testing import EmbeddedPostgres

OURS = "KeeperPool"
POOLS = {"stock": "asyncpg", "asyncpg": "asyncpg", "psycopg": "psycopg", "keeper": "asyncpg"}
# No pools, but what any caller costs before a pool does anything.
BARE = {"task": "asyncpg", "greenlet": "asyncpg"}
NAMES = {
    "stock": "stock, no ping",
    "asyncpg": "asyncpg.Pool, no reset",
    "psycopg": "psycopg_pool, no check",
    "keeper": OURS,
    "task": "a bare task",
    "greenlet": "SQLAlchemy's greenlet, bare",
}
NUMBERS = (5_000, 10_000)
LOOP = "uvloop"
ROUNDS = 2
TIME_LIMIT = 60
FIGURES = {
    "park": "park, us",
    "serve": "serve, us",
    "expire": "expire, us",
    "stall": "stall, ms",
    "memory": "memory, KiB",
    "traced": "of it traced",
}
# Two runs of the same figure differ by as much.
FLAT = 1.25

Costs = dict[str, float]


def waiters(name: str, url: str, number: int, what: str) -> Costs:
    """In a process of their own, so that nobody pays for the memory and garbage of others."""
    arguments = [sys.executable, "-m", "bench.waiters", name, url, str(number), LOOP, what]
    root = Path(__file__).parents[1]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=TIME_LIMIT, cwd=root)
    found: Costs = json.loads(done.stdout)
    return found


def costs_of(name: str, url: str, number: int) -> Costs:
    """The best of some rounds: what else runs on the machine only adds."""
    progress(f"{NAMES[name]}, {number} waiting")
    timed = [waiters(name, url, number, "time") for _ in range(ROUNDS)]
    best = {figure: min(each[figure] for each in timed) for figure in ("park", "serve", "expire", "stall")}
    return best | memory_of(name, url, number)


def memory_of(name: str, url: str, number: int) -> Costs:
    memory, traced = (waiters(name, url, number, what)["memory"] for what in ("memory", "traced"))
    return {"memory": memory, "traced": traced}


def measure(report: Report) -> None:
    with EmbeddedPostgres() as server:
        for number in NUMBERS:
            found = {name: costs_of(name, server.url(driver), number) for name, driver in (POOLS | BARE).items()}
            tell(report, number, found)
    flat(report)


def tell(report: Report, number: int, found: dict[str, Costs]) -> None:
    rows = [(NAMES[name], *(costs.get(figure) for figure in FIGURES)) for name, costs in found.items()]
    report.tables.append(
        Table(f"{number} waiting on a pool of {SIZE} (best of {ROUNDS})", ("pool", *FIGURES.values()), rows)
    )
    for figure, shown in FIGURES.items():
        if figure != "traced":
            ours = found["keeper"][figure]
            others = {NAMES[name]: found[name][figure] for name in POOLS if name != "keeper"}
            best = min(others, key=lambda name: others[name])
            to_reach = f"<= {others[best]:.3g}, {best}'s"
            report.target(f"{number} waiting: {shown}", to_reach, f"{ours:.3g}", ours <= others[best])


def flat(report: Report) -> None:
    """Twice as many must not cost more each."""
    fewer, more = (table.rows[list(POOLS).index("keeper")] for table in report.tables)
    for column, figure in enumerate(FIGURES.values(), 1):
        if figure.endswith("us"):
            ratio = float(more[column] or 0) / float(fewer[column] or 1)
            report.target(
                f"{figure}: {NUMBERS[1]} against {NUMBERS[0]} waiting", f"<= {FLAT}", f"{ratio:.2f}", ratio <= FLAT
            )


REPORT = Report(
    "waiting",
    "Thousands of waiting callers",
    "engine.connect(), acquire() or getconn() of pools whose connections are all taken; each waiter gives back at\n"
    "once what it gets. While the time of waiters runs out KeeperPool is suspended: else it refuses at once whom it\n"
    f"could not serve in time. Processor time per waiter, on {LOOP}; memory as RSS, in fresh processes. The stall is\n"
    "the longest that the loop stood still while everybody's time was up.",
)

if __name__ == "__main__":
    run(REPORT, measure)
