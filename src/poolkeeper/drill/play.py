"""Plays a scenario on a stack: real server, real network, real service, and a load from a process of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from poolkeeper.drill.books import audit
from poolkeeper.drill.client import HttpClient
from poolkeeper.drill.figures import Figures, Observed, figures_of
from poolkeeper.drill.ground import Ground
from poolkeeper.drill.load_process import LoadProcess
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.sampler import Sampler
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.service import Service
from poolkeeper.drill.stacks import Stack
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Verdict, judge
from poolkeeper.testing import FaultProxy

_APP = "poolkeeper.drill.stacks.app:app"
# Seconds. A stopping service may wait so long for its requests before it is killed.
_GRACE = 3.0
# What is over for a client reaches the server and the pool a moment later.
_SETTLE = 0.5
# How long a connection is busy that is opened on purpose: long enough for all the others to be asked for.
_OPENING = 0.3
_LOOK_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Played:
    """A scenario on a stack, and how it ended."""

    scenario: Scenario
    stack: Stack
    figures: Figures
    verdict: Verdict

    @property
    def settings(self) -> dict[str, str]:
        """What the service was told beside its URL."""
        return _settings(self.scenario, self.stack)

    @property
    def as_predicted(self) -> bool:
        return self.verdict.good != (self.stack.name in self.scenario.breaks)


def play(scenario: Scenario, stack: Stack, ground: Ground) -> Played:
    """Play it, count, and judge.

    Raises `ServiceFailed` where the service cannot start, `EmbeddedPostgresError`, and RuntimeError when the load's
    process fails. Whatever happens, nothing is left running.
    """
    server = ground.server
    with (
        ground.spot() as spot,
        FaultProxy(server.host, server.port) as proxy,
        Sampler(proxy) as sampler,
        scenario.props() as props,
    ):
        service = _service(scenario, stack, proxy.url(server.url(database=spot.database)), spot.folder, props)
        stage = Stage(server, spot.database, proxy, service)
        with service:
            outcomes, behind = _under_load(scenario, stack, stage)
            samples = sampler.since(stage.marks["opened"], stage.begins)
            scenario.ending(stage)
            stage.wait(_SETTLE)
            in_use, causes = _look(stage, stack.connections) if service.running else (None, ())
        seen = Observed(
            stack=stack.name,
            connections=stack.connections,
            outcomes=tuple(outcomes),
            samples=samples,
            marks={name: moment - stage.begins for name, moment in stage.marks.items()},
            counts=stage.counts,
            books=audit(stage, outcomes),
            in_use=in_use,
            backends_left=_backends(stage),
            behind=behind,
            causes=causes,
        )
    figures = figures_of(seen, scenario.measure(seen))
    return Played(scenario, stack, figures, judge(figures, scenario.expect(figures)))


def _service(scenario: Scenario, stack: Stack, url: str, folder: Path, props: Mapping[str, str]) -> Service:
    environment = {**_settings(scenario, stack), **props}
    return Service(url, folder, app=_APP, environment=environment, grace=_GRACE)


def _settings(scenario: Scenario, stack: Stack) -> dict[str, str]:
    mistake = {} if scenario.mistake is None else {"ORDERS_FAULTS": scenario.mistake}
    return {**stack.environment(scenario.load.timeout, scenario.settings), **mistake}


def _under_load(scenario: Scenario, stack: Stack, stage: Stage) -> tuple[list[Outcome], float]:
    """Every request, and how far (seconds) their sending fell behind."""
    if scenario.opened:
        asyncio.run(_ask_at_once(stage.service.address, f"/drill/slow?seconds={_OPENING}", stack.connections))
    stage.mark("opened")
    scenario.before(stage)
    with LoadProcess(stage.service.address, scenario.load) as load:
        stage.begins = load.began()
        stage.wait_until(scenario.fault_at)
        with stage.fault():
            scenario.fault(stage)
        return load.outcomes(), load.result().behind_ms / 1000


async def _ask_at_once(address: str, path: str, times: int) -> list[dict[str, Any] | None]:
    """What it answers, as often as asked for; None where it does not answer in time, or not with JSON."""
    parts = urlsplit(address)

    async def ask(client: HttpClient) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT):
                said: dict[str, Any] | None = json.loads((await client.request("GET", path)).body)
                return said
        except (OSError, TimeoutError, ValueError):
            return None

    async with HttpClient(parts.hostname or "", parts.port or 80) as client:
        return await asyncio.gather(*(ask(client) for _ in range(times)))


def _look(stage: Stage, connections: int) -> tuple[int, tuple[str, ...]]:
    """How many connections of the pool are in use, and what the service says is wrong, where it says anything.

    A service that does not answer has none of its `connections` to give.
    """
    (pool,) = asyncio.run(_ask_at_once(stage.service.address, "/drill/pool", 1))
    (health,) = asyncio.run(_ask_at_once(stage.service.address, "/health/db", 1))
    findings: Sequence[dict[str, Any]] = (health or {}).get("findings", ())
    in_use = connections if pool is None else int(pool["in_use"])
    return in_use, tuple(str(finding["code"]) for finding in findings)


def _backends(stage: Stage) -> int:
    """The connections that the ended service has left on the server."""
    deadline = time.monotonic() + _SETTLE
    where = f"datname = '{stage.database}'"
    while (left := len(stage.server.activity(where))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
