"""Requests to the reference service under uvicorn, open-loop from a process of their own, and what it tells of them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil

from poolkeeper.drill import Call, HttpClient, Load, Response, Service
from poolkeeper.drill.phased import Outcome, Outcomes
from poolkeeper.drill.service import reference_service
from poolkeeper.planner.measured import POOL, REFUSED, TIMED_OUT, MeasuredPool, measured_between
from poolkeeper.planner.scrape import Scrape

OK, REFUSAL = 204, 503
LAG = "poolkeeper_event_loop_lag_seconds"


class Span(NamedTuple):
    """How long requests are sent (seconds): those of the warm-up do not count."""

    warm_up: float
    counted: float

    @property
    def whole(self) -> float:
        return self.warm_up + self.counted


class Schedule(NamedTuple):
    """When each request leaves (seconds from the first), and how long its transaction takes."""

    times: Sequence[float]
    holds: Sequence[float]


@dataclass(frozen=True)
class Scraped:
    """What /metrics said at a moment of the monotonic clock."""

    at: float
    scrape: Scrape

    @property
    def refused(self) -> int:
        """How many the pool has turned away since it was made."""
        return round(sum(sum(self.scrape.values(name, POOL).values()) for name in (REFUSED, TIMED_OUT)))

    def number(self, name: str) -> float:
        return self.scrape.number(name) or 0.0


@dataclass(frozen=True)
class Seen:
    """A finished load: three scrapes (before and after what counts, and at the end) and what clients met.

    `behind` is by how much (seconds) the furthest request left too late, `busy` the share of the machine's cores that
    somebody used meanwhile.
    """

    before: Scraped
    after: Scraped
    end: Scraped
    outcomes: list[Outcome]
    behind: float
    busy: float

    def counts(self, moment: float) -> bool:
        return self.before.at <= moment < self.after.at

    @property
    def seconds(self) -> float:
        return self.after.at - self.before.at

    @property
    def told(self) -> MeasuredPool:
        """What the service counted, as `poolkeeper plan --from` reads it."""
        (pool,) = measured_between(self.before.scrape, self.after.scrape, self.seconds).pools
        return pool

    @property
    def lost(self) -> float:
        """The share of calls for a connection that were turned away, as the pool counts them."""
        return (self.told.refused + self.told.timed_out) / self.told.calls

    @property
    def lag(self) -> float:
        """How late (seconds) the service's event loop was on average."""
        total, count = ((self.after.number(name) - self.before.number(name)) for name in (f"{LAG}_sum", f"{LAG}_count"))
        return total / count

    @property
    def refused(self) -> int:
        """How many clients were told that there was no connection for them."""
        return sum(outcome.status == REFUSAL for outcome in self.outcomes)

    @property
    def gave_up(self) -> int:
        return sum(outcome.error == "timeout" for outcome in self.outcomes)

    @property
    def failed(self) -> int:
        """Those that ended in a way that nobody intends."""
        return len(self.outcomes) - self.refused - self.gave_up - sum(each.status == OK for each in self.outcomes)


class Transactions:
    """Of these lengths, one after the other."""

    def __init__(self, holds: Sequence[float]) -> None:
        self._holds = iter(holds)

    def next(self) -> Call:
        return Call("hold", "GET", f"/hold?seconds={next(self._holds):.6f}")

    def answered(self, call: Call, response: Response) -> None: ...


def offer(address: str, schedule: Schedule, span: Span, patience: float) -> Seen:
    """Send all of it, whatever becomes of the others. For a process of its own."""
    return asyncio.run(_offer(address, schedule, span, patience))


async def _offer(address: str, schedule: Schedule, span: Span, patience: float) -> Seen:
    load = Load(address, Transactions(schedule.holds), schedule.times, timeout=patience)
    load.recorder = outcomes = Outcomes()
    where = urlsplit(address)
    async with HttpClient(where.hostname or "", where.port or 80) as client:
        sending, began = asyncio.create_task(load.run()), time.monotonic()
        await asyncio.sleep(span.warm_up)
        before = await _scraped(client)
        psutil.cpu_percent()
        await asyncio.sleep(began + span.whole - time.monotonic())
        after, busy = await _scraped(client), psutil.cpu_percent() / 100
        await sending
        return Seen(before, after, await _scraped(client), outcomes.kept, outcomes.behind, busy)


async def _scraped(client: HttpClient) -> Scraped:
    response = await client.request("GET", "/metrics")
    assert response.status == 200
    return Scraped(time.monotonic(), Scrape.read(response.body.decode()))


@contextmanager
def load_processes(number: int) -> Generator[ProcessPoolExecutor]:
    """Where `offer` runs."""
    with ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn")) as processes:
        yield processes


@contextmanager
def reference(url: str, settings: Mapping[str, object]) -> Generator[Service]:
    """The reference service with one pool, and these of its settings."""
    environment = {f"DATABASE_{name.upper()}": str(value) for name, value in settings.items()}
    # No request looks at the shop's tables.
    ours = {"PYTHONPATH": str(reference_service()), "ORDERS_CREATE_TABLES": "no"}
    with (
        TemporaryDirectory() as folder,
        Service(
            url,
            Path(folder),
            app="plan_app:app",
            app_dir=Path(__file__).parent,
            environment=environment | ours,
            grace=2,
        ) as service,
    ):
        yield service


def calls_of(service: Service) -> list[dict[str, Any]]:
    """Every call for a connection, as `plan_app.Call` has them."""
    with urllib.request.urlopen(f"{service.address}/trace", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found
