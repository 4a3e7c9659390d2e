"""How long the planner's simulation takes for a million requests, what it needs for more processes, and is it right?"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple, TypeVar

from bench.report import Report, Table, progress, run

from poolkeeper.planner.losses import losses
from poolkeeper.planner.queueing import waits
from poolkeeper.planner.simulate import (
    Clients,
    Database,
    Endpoint,
    Exponential,
    Fleet,
    KeeperPolicy,
    Lognormal,
    Poisson,
    Scenario,
    Simulated,
    StockPolicy,
    simulate,
)
from poolkeeper.policy import Limits

REQUESTS = 1_000_000
PROCESSES, WORKERS = (100, 1_000, 10_000), 4
# Two of five connections of each process in use, on average.
RATE_OF_A_PROCESS, HOLD, HOLD_P99, POOL, OVERFLOW = 10.0, 0.2, 1.0, 3, 2
MOST_SECONDS, MOST_BYTES = 60.0, 2e9

SHORT_HOLD, WARM_UP, WITHIN = 0.05, 20.0, 0.02
ENDLESS = 3600.0
OURS, STOCK = "KeeperPool", "stock"

T = TypeVar("T")


class Cost(NamedTuple):
    """What one run took: seconds, and the most memory that its process had (bytes), of which some before it began."""

    seconds: float
    memory: float
    before: float
    found: Simulated


class Deviation(NamedTuple):
    """Simulated over calculated, less one."""

    mean_wait: float
    waiting: float
    p99: float
    lost: float | None = None


def fleet(processes: int, policy: str) -> Scenario:
    rate = processes * RATE_OF_A_PROCESS
    ours, stock = KeeperPolicy(Limits(POOL, OVERFLOW, min_idle=1), client_timeout=5.0), StockPolicy(POOL, OVERFLOW)
    return Scenario(
        arrivals=Poisson(rate),
        endpoints=(Endpoint(Lognormal(HOLD, HOLD_P99)),),
        policy=ours if policy == OURS else stock,
        duration=REQUESTS / rate,
        fleet=Fleet(processes // WORKERS, WORKERS),
    )


def cost_of(processes: int, policy: str) -> Cost:
    before, began = _memory(), time.perf_counter()
    found = simulate(fleet(processes, policy))
    return Cost(time.perf_counter() - began, _memory(), before, found)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def in_a_fresh_process(work: Callable[..., T], *arguments: object) -> T:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        return processes.submit(work, *arguments).result()


def one_pool(policy: KeeperPolicy | StockPolicy, servers: int, utilisation: float) -> tuple[Simulated, float, float]:
    """What was simulated, and the rate and mean hold that were drawn."""
    rate = utilisation * servers / SHORT_HOLD
    scenario = Scenario(
        arrivals=Poisson(rate),
        endpoints=(Endpoint(Exponential(SHORT_HOLD)),),
        policy=policy,
        duration=REQUESTS / rate + WARM_UP,
        warm_up=WARM_UP,
        database=Database(connect=1e-6),
    )
    found = simulate(scenario)
    drawn_rate = found.counts.attempts / (scenario.duration - WARM_UP)
    served = found.wait.count / found.counts.attempts
    return found, drawn_rate, found.utilisation * servers / drawn_rate / served


def without_bounds(servers: int, utilisation: float) -> Deviation:
    policy = KeeperPolicy(Limits(servers, min_idle=servers), timeout=ENDLESS)
    found, rate, hold = one_pool(policy, servers, utilisation)
    theory = waits(rate, hold, servers)
    p99 = theory.quantile(0.99) or 0.0
    return Deviation(
        found.wait.mean / (theory.mean_wait or 0.0) - 1,
        found.wait.waited / theory.waiting_probability - 1,
        found.wait.p99 / p99 - 1,
    )


def with_a_bound(servers: int, utilisation: float, max_waiting: int) -> Deviation:
    policy = KeeperPolicy(Limits(servers, min_idle=servers), timeout=ENDLESS, max_waiting=max_waiting)
    found, rate, hold = one_pool(policy, servers, utilisation)
    theory = losses(rate, hold, servers, timeout=ENDLESS, max_waiting=max_waiting)
    return Deviation(
        found.wait.mean / theory.mean_wait - 1,
        found.wait.waited / theory.beyond(0.0) - 1,
        found.wait.p99 / theory.quantile(0.99) - 1,
        found.counts.refused / found.counts.attempts / theory.refused - 1,
    )


def with_patience(servers: int, utilisation: float, timeout: float) -> Deviation:
    found, rate, hold = one_pool(StockPolicy(servers, 0, timeout=timeout, turn=0.0), servers, utilisation)
    theory = losses(rate, hold, servers, timeout=timeout)
    return Deviation(
        found.wait.mean / theory.mean_wait - 1,
        found.wait.waited / theory.beyond(0.0) - 1,
        found.wait.p99 / theory.quantile(0.99) - 1,
        found.counts.timed_out / found.counts.attempts / theory.timed_out - 1,
    )


def overload(policy: KeeperPolicy | StockPolicy) -> Simulated:
    return simulate(
        Scenario(
            arrivals=Poisson(600.0),
            endpoints=(Endpoint(Exponential(SHORT_HOLD)),),
            policy=policy,
            duration=60.0,
            warm_up=10.0,
            clients=Clients(timeout=2.0),
        )
    )


def measure(report: Report) -> None:
    costs = {}
    for policy in (OURS, STOCK):
        for processes in PROCESSES:
            progress(f"{policy}, {processes:,} processes")
            costs[policy, processes] = in_a_fresh_process(cost_of, processes, policy)
    columns = (
        "pool",
        "processes",
        "requests",
        "seconds",
        "us a request",
        "memory, MB",
        "of it before, MB",
        "connections",
    )
    rows = [
        (
            *which,
            cost.found.counts.attempts,
            cost.seconds,
            cost.seconds / cost.found.counts.attempts * 1e6,
            cost.memory / 1e6,
            cost.before / 1e6,
            cost.found.most_connections,
        )
        for which, cost in costs.items()
    ]
    report.tables.append(Table("A million requests", columns, rows))
    add_costs(report, costs[OURS, PROCESSES[-1]])
    add_deviations(report)
    add_overload(report)


def add_costs(report: Report, largest: Cost) -> None:
    what = f"{REQUESTS:,} requests, {PROCESSES[-1]:,} processes"
    report.target(what, f"<= {MOST_SECONDS:.0f} s", f"{largest.seconds:.1f} s", largest.seconds <= MOST_SECONDS)
    in_use = f"{largest.memory / 1e6:.0f} MB"
    report.target(what, f"<= {MOST_BYTES / 1e9:.0f} GB", in_use, largest.memory <= MOST_BYTES)


def add_deviations(report: Report) -> None:
    cases: dict[str, Callable[[], Deviation]] = {
        "M/M/2, 50 %": lambda: without_bounds(2, 0.5),
        "M/M/5, 70 %": lambda: without_bounds(5, 0.7),
        "M/M/20, 80 %": lambda: without_bounds(20, 0.8),
        "M/M/5 and 4 waiting, 120 %": lambda: with_a_bound(5, 1.2, 4),
        "M/M/5 and a patience of one hold, 90 %": lambda: with_patience(5, 0.9, SHORT_HOLD),
    }
    found = {}
    for name, case in cases.items():
        progress(name)
        found[name] = case()
    rows = [(name, *(None if each is None else f"{each:+.2%}" for each in one)) for name, one in found.items()]
    columns = ("queue", "mean wait", "share that waits", "p99 of the wait", "share refused or timed out")
    report.tables.append(Table("Simulated beside calculated", columns, rows))
    worst = max(abs(each) for one in found.values() for each in (one.mean_wait, one.waiting, one.lost or 0.0))
    what = "mean wait, share that waits, share lost"
    report.target(what, "within 2 % of the formulas", f"{worst:.2%}", worst <= WITHIN)


def add_overload(report: Report) -> None:
    policies = {
        "stock, pool_timeout 30": StockPolicy(10, 0),
        "stock, pool_timeout 1": StockPolicy(10, 0, timeout=1.0),
        "KeeperPool, client_timeout 2": KeeperPolicy(Limits(10), client_timeout=2.0),
    }
    rows = []
    for name, policy in policies.items():
        found = overload(policy)
        counts = found.counts
        ends = counts.served, counts.abandoned, counts.refused, counts.timed_out
        rows.append((name, *(each / 50 for each in ends), found.response.p50 * 1000, found.response.p99 * 1000))
    columns = ("pool of 10", "served /s", "for nobody /s", "refused /s", "timed out /s", "served p50, ms", "p99, ms")
    report.tables.append(Table("600/s where 200/s can be served, to clients who leave after 2 s", columns, rows))


if __name__ == "__main__":
    report = Report(
        "simulation",
        "The planner's simulation",
        f"Discrete events in one thread. A million requests: Poisson arrivals, {RATE_OF_A_PROCESS:.0f}/s for each\n"
        f"process, lognormal holds of {HOLD * 1000:.0f} ms (p99 {HOLD_P99:.0f} s), pool_size {POOL}, max_overflow "
        f"{OVERFLOW}. Formulas: for the load that was drawn.",
    )
    run(report, measure)
