"""Failures that need nothing of the app that they befall: of its connections, its server, its network, its load."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from poolkeeper.drill.client import HttpClient
from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.paths import PathLoad
from poolkeeper.drill.restart import HEALTHY_WITHIN, in_flight, only_in_flight, restart
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.scenarios.silent_drop import lose_idle, network_gives_up
from poolkeeper.drill.scenarios.stale_after_idle import kill_idle
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, none_failed, none_refused, nothing_left, served

# Ten at once, and then a calm stream.
_AFTER_IDLE = (200.0, 0.05), (20.0, 2.95)
# Seconds each way. Under it a round trip takes so long that the pool is the limit of an app, and not the processor.
_LATENCY = 0.1
_LATENCY_FOR = 2.0
# Requests per second: twice what 20 connections serve that need a fifth of a second each.
_OFFERED = 200.0
_OVERLOAD, _CALM = 5.0, 3.0
_PATIENCE = 2.0
# Callers who ask again when they are answered, and for how long (seconds); the first answers are not counted.
_CALLERS, _CALIBRATED, _FILLED = 40, 4.0, 1.0
# Of what the app served in calm. Both are counted in whole answers, a wave more or less of which is a tenth.
_SHARE = 0.75


def own_app_scenarios(paths: tuple[str, ...]) -> dict[str, Scenario]:
    """All of them by name, with a load on these paths."""
    made = _kill_idle(paths), _latency(paths), _overload(paths), _restart(paths), _silent_drop(paths)
    return {scenario.name: scenario for scenario in made}


def nobody_notices(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield from nothing_left(figures)


def well_again(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield at_most("well again after", figures.healthy_after, HEALTHY_WITHIN, "s")
    yield from nothing_left(figures)


def after_restart(figures: Figures) -> Iterable[Check]:
    yield from only_in_flight(figures)
    # Of its pool we know no more than that.
    yield at_most("connect attempts within 100 ms", figures.connects_in_100_ms, max(1, figures.connections_peak))
    yield from nothing_left(figures)


def most_is_served(figures: Figures) -> Iterable[Check]:
    yield at_least("load, times the capacity", figures.more["times the capacity"], 1.5)
    yield at_least("goodput, share of capacity", figures.more["share of capacity"], _SHARE)
    yield at_most("well again after the load falls", figures.healthy_after, HEALTHY_WITHIN, "s")
    yield from nothing_left(figures)


def slow_network(stage: Stage) -> None:
    stage.proxy.latency = _LATENCY
    stage.wait(_LATENCY_FOR)
    stage.proxy.latency = 0.0


def until_the_load_falls(stage: Stage) -> None:
    stage.wait_until(_OVERLOAD)


def goodput(seen: Observed) -> dict[str, float]:
    """Successes per second under overload, against those in calm."""
    ended = sum(each.kind == "ok" and _FILLED <= each.end < _OVERLOAD for each in seen.outcomes)
    per_second, capacity = ended / (_OVERLOAD - _FILLED), seen.counts["capacity"]
    shares = {"times the capacity": _OFFERED, "share of capacity": per_second}
    found = {name: value / capacity if capacity else 0.0 for name, value in shares.items()}
    return {"goodput per second": per_second, "capacity per second": capacity, **found}


def _kill_idle(paths: tuple[str, ...]) -> Scenario:
    return Scenario(
        name="kill-idle",
        question="The server ends every idle connection. Does a request meet one of them?",
        steady="the app's connections are open and idle",
        predicted="A pool that looks at a connection before it gives it out lets nobody notice.",
        breaks=frozenset(),
        before=kill_idle,
        load=PathLoad(paths, _AFTER_IDLE),
        expect=nobody_notices,
        chief=("failed", lambda figures: f"{figures.failed} failed"),
    )


def _latency(paths: tuple[str, ...]) -> Scenario:
    return Scenario(
        name="latency",
        question=f"Each packet takes {_LATENCY:g} s longer each way, for {_LATENCY_FOR:g} s. Does anybody fail?",
        steady="15 requests per second",
        predicted="Everybody is slower. With enough connections nobody fails, and all is well when it is over.",
        breaks=frozenset(),
        load=PathLoad(paths, ((15.0, 5.0),)),
        fault_at=1.0,
        fault=slow_network,
        expect=well_again,
        chief=("slowest", lambda figures: f"{figures.failed} failed, {figures.max_ms:.0f} ms at most"),
    )


def _overload(paths: tuple[str, ...]) -> Scenario:
    def in_calm(stage: Stage) -> None:
        stage.proxy.latency = _LATENCY
        stage.counts["capacity"] = asyncio.run(_served_per_second(stage.service.address, paths))
        # Whoever has not been answered by now has left.
        stage.wait(_PATIENCE)

    return Scenario(
        name="overload",
        question="Many times what the app can serve, from callers who wait for 2 s. How much is answered?",
        steady=f"the database {2 * _LATENCY:g} s away, so that the pool is the limit; its capacity is measured first",
        predicted="A pool that lets callers wait for longer than they do works for those who have left.",
        breaks=frozenset(),
        before=in_calm,
        load=PathLoad(paths, ((_OFFERED, _OVERLOAD), (3.0, _CALM)), timeout=_PATIENCE),
        fault=until_the_load_falls,
        measure=goodput,
        expect=most_is_served,
        chief=("of capacity", lambda figures: f"{figures.more['share of capacity']:.0%} answered"),
    )


def _restart(paths: tuple[str, ...]) -> Scenario:
    return Scenario(
        name="restart",
        question="The server is restarted and away for a second. Who fails, and how fast is the app well again?",
        steady="50 requests per second",
        predicted="Those in flight fail. The others wait or are refused, and a second later all is well.",
        breaks=frozenset(),
        load=PathLoad(paths, ((50.0, 4.0),)),
        fault_at=1.0,
        fault=restart("fast"),
        measure=in_flight,
        expect=after_restart,
        chief=("failed", lambda figures: f"{figures.failed} failed"),
    )


def _silent_drop(paths: tuple[str, ...]) -> Scenario:
    return Scenario(
        name="silent-drop",
        question="A firewall forgets all idle connections: no FIN, no RST. Who waits, and for how long?",
        steady="the app's connections are open and idle",
        predicted="A pool whose ping has a limit lets callers live to see the next connection.",
        breaks=frozenset(),
        before=lose_idle,
        load=PathLoad(paths, ((20.0, 2.0),)),
        ending=network_gives_up,
        expect=nobody_notices,
        chief=("failed", lambda figures: f"{figures.failed} failed"),
    )


async def _served_per_second(address: str, paths: tuple[str, ...]) -> float:
    """By callers who each wait for their answer, and then ask again."""
    parts, begun = urlsplit(address), time.monotonic()
    served: list[float] = []

    async def call(client: HttpClient) -> None:
        for path in itertools.cycle(paths):
            try:
                if 200 <= (await client.request("GET", path)).status < 300:
                    served.append(time.monotonic() - begun)
                    continue
            except OSError:
                pass
            await asyncio.sleep(_LATENCY)

    async with HttpClient(parts.hostname or "", parts.port or 80) as client:
        calling = [asyncio.create_task(call(client)) for _ in range(_CALLERS)]
        await asyncio.wait(calling, timeout=_CALIBRATED)
        for each in calling:
            each.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
    return sum(_FILLED <= moment < _CALIBRATED for moment in served) / (_CALIBRATED - _FILLED)
