"""A real service is offered more than three times what its pool can serve, to callers who give up after 2 s."""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.report import Report, Table, progress, quantile, run

from poolkeeper.drill import Call, HttpClient, Load, Place, Recorder, Response, Service, embedded_postgres, steady

OFFERED, OVERLOAD_SECONDS = 600, 15
CALM, CALM_SECONDS = 100, 12
PATIENCE = 2.0
CLIENTS, CAPACITY_SECONDS, WARM_UP = 20, 4.0, 1.0
# A request that takes ten times its statement, after the load fell, is not one of a healthy service.
HEALTHY = 0.5

GUIDE = {"pool_size": 10, "max_overflow": 0, "pool_recycle": 3600, "pool_pre_ping": True}
OURS, TUNED = "KeeperPool, client_timeout 2", "stock, pool_timeout 1 (best tuned)"
POOLS: dict[str, dict[str, Any]] = {
    "stock, pool_timeout 30 (guides)": {"pool": "stock", "pool_timeout": 30, **GUIDE},
    TUNED: {"pool": "stock", "pool_timeout": 1, **GUIDE},
    OURS: {"pool": "KeeperPool", "client_timeout": PATIENCE, **GUIDE},
}


class Outcome(NamedTuple):
    """One request: when it was due, how long it took, its status if any, and what counts as an error."""

    due: float
    seconds: float
    status: int | None
    error: str | None


class Outcomes(Recorder):
    """Keeps every outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Outcome] = []

    def add(self, call: Call, intended: float, latency: float, response: Response | None, error: str | None) -> None:
        super().add(call, intended, latency, response, error)
        self.kept.append(Outcome(intended, latency, response.status if response else None, error))


class Work:
    """The same request, again and again."""

    def next(self) -> Call:
        return Call("work", "GET", "/work")

    def answered(self, call: Call, response: Response) -> None: ...


def capacity_of(address: str) -> float:
    """Requests per second that as many patient clients get served, each after the other."""
    where = urlsplit(address)

    async def measure() -> float:
        began, served = time.perf_counter(), 0
        end = began + WARM_UP + CAPACITY_SECONDS
        async with HttpClient(where.hostname or "", where.port or 80, spread=CLIENTS) as client:

            async def one_after_the_other() -> None:
                nonlocal served
                while time.perf_counter() < end:
                    response = await client.request("GET", "/work")
                    assert response.status == 200
                    served += began + WARM_UP < time.perf_counter() < end

            await asyncio.gather(*(one_after_the_other() for _ in range(CLIENTS)))
        return served / CAPACITY_SECONDS

    return asyncio.run(measure())


def overload(address: str) -> tuple[list[Outcome], float]:
    """The outcome of every request, and how far (seconds) the sending fell behind its schedule."""
    fallen = (OVERLOAD_SECONDS + moment for moment in steady(CALM, CALM_SECONDS))
    arrivals = itertools.chain(steady(OFFERED, OVERLOAD_SECONDS), fallen)
    load = Load(address, Work(), arrivals, timeout=PATIENCE, max_under_way=5000)
    load.recorder = outcomes = Outcomes()
    asyncio.run(load.run())
    return outcomes.kept, outcomes.behind


@dataclass
class Found:
    """A service under overload; all times in seconds, rates per second."""

    capacity: float
    outcomes: list[Outcome]
    behind: float

    @property
    def per_second(self) -> list[int]:
        """Answers in time, by the second of their arrival; the first second still fills the queue."""
        answered = [int(o.due + o.seconds) for o in self.outcomes if o.error is None]
        return [answered.count(second) for second in range(1, OVERLOAD_SECONDS)]

    @property
    def goodput(self) -> float:
        return sum(self.per_second) / len(self.per_second)

    @property
    def share(self) -> float:
        return self.goodput / self.capacity

    @property
    def served(self) -> list[float]:
        return [o.seconds for o in self.outcomes if o.error is None and o.due < OVERLOAD_SECONDS]

    @property
    def refused(self) -> list[float]:
        return [o.seconds for o in self.outcomes if o.status == 503]

    @property
    def gave_up(self) -> int:
        return sum(o.error == "timeout" for o in self.outcomes)

    @property
    def healthy_after(self) -> float:
        """From the fall of the load until the last request that was refused, lost or slow."""
        bad = (o.due for o in self.outcomes if o.due >= OVERLOAD_SECONDS and (o.error or o.seconds > HEALTHY))
        return max((due - OVERLOAD_SECONDS for due in bad), default=0.0)


def measure_one(place: Place, load: ProcessPoolExecutor, options: dict[str, Any]) -> Found:
    environment = {"BENCH_POOL": json.dumps(options)}
    here = Path(__file__).parent
    app = "overload_app:app"
    with Service(place.url, place.folder, app=app, app_dir=here, environment=environment, grace=1) as service:
        capacity = load.submit(capacity_of, service.address).result(60)
        outcomes, behind = load.submit(overload, service.address).result(90)
        return Found(capacity, [Outcome(*each) for each in outcomes], behind)


def measure(report: Report) -> None:
    found: dict[str, Found] = {}
    own_process = multiprocessing.get_context("spawn")
    with embedded_postgres() as place, ProcessPoolExecutor(1, mp_context=own_process) as load:
        for name, options in POOLS.items():
            progress(name)
            found[name] = measure_one(place, load, options)
    columns = (
        *("pool of 10", "capacity /s", "goodput /s", "share", "worst second", "served p50, ms", "served p99, ms"),
        *("refused", "refusal p50, ms", "p99", "max", "gave up", "healthy after, s", "load behind, ms"),
    )
    title = f"{OFFERED}/s for {OVERLOAD_SECONDS} s, then {CALM}/s for {CALM_SECONDS} s"
    report.tables.append(Table(title, columns, [row(name, each) for name, each in found.items()]))
    add_targets(report, found[OURS], found[TUNED])


def row(name: str, found: Found) -> tuple[str | float | int | None, ...]:
    served = [quantile(found.served, share) * 1000 for share in (0.5, 0.99)]
    refusals = [quantile(found.refused, share) * 1000 if found.refused else None for share in (0.5, 0.99, 1)]
    healthy = found.healthy_after
    shown = f"over {CALM_SECONDS}" if healthy > CALM_SECONDS - 0.5 else f"{healthy:.2f}"
    rates = found.capacity, found.goodput, f"{found.share:.0%}", min(found.per_second)
    return name, *rates, *served, len(found.refused), *refusals, found.gave_up, shown, found.behind * 1000


def add_targets(report: Report, ours: Found, tuned: Found) -> None:
    report.target("goodput / capacity", ">= 95 %", f"{ours.share:.0%}", ours.share >= 0.95)
    slowest, late = max(ours.refused, default=0.0), sum(seconds > 0.05 for seconds in ours.refused)
    refusals = f"slowest {slowest * 1000:.0f} ms, {late} of {len(ours.refused)} later"
    report.target("every refusal", "within 50 ms", refusals, slowest <= 0.05)
    p50, theirs = quantile(ours.served, 0.5) * 1000, quantile(tuned.served, 0.5) * 1000
    report.target("p50 of the served", "below best tuned stock's", f"{p50:.0f} against {theirs:.0f} ms", p50 < theirs)
    report.target("healthy after the load falls", "within 1 s", f"{ours.healthy_after:.2f} s", ours.healthy_after <= 1)


if __name__ == "__main__":
    report = Report(
        "overload",
        "Overload",
        "FastAPI under uvicorn, SELECT pg_sleep(0.05) and a commit per request; the load comes from its own process,\n"
        f"open-loop. Clients give up after {PATIENCE:.0f} s. Capacity: {CLIENTS} clients, closed-loop, same run.",
    )
    run(report, measure)
