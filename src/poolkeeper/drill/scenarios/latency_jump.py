"""The network becomes slow, and stays up."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed, quantile
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, none_failed, none_refused, nothing_left, served

# Seconds each way, for so many seconds.
_LATENCY = 0.04
_FOR = 3.5


def become_slow(stage: Stage) -> None:
    stage.proxy.latency = _LATENCY
    stage.wait(_FOR)
    stage.proxy.latency = 0.0


def slowness(seen: Observed) -> dict[str, float]:
    """What a success took while the network was slow."""
    begin, end = seen.marks["fault"], seen.marks["over"]
    slow = sorted(each.seconds for each in seen.outcomes if begin <= each.due <= end and each.kind == "ok")
    return {"p50 while slow ms": quantile(slow, 0.5) * 1000}


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_least("p50 while slow", figures.more["p50 while slow ms"], 2000 * _LATENCY, "ms")
    yield none_failed(figures)
    yield none_refused(figures)
    yield at_most("well again after the jump", figures.healthy_after, 1.0, "s")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="latency-jump",
    question="The server is suddenly 80 ms away, for 3.5 s. Is the pool large enough for callers who wait for 2 s?",
    steady="120 reads per second; each has a connection for some 5 ms",
    predicted="Each round trip now holds a connection for 80 ms. A stock pool needs three for a read and as many again "
    "for a ping: its connections are not enough any more. A read of poolkeeper is one.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((120, 6.0),), mix={"read": 100}, timeout=2.0),
    fault_at=1.0,
    fault=become_slow,
    measure=slowness,
    expect=expect,
    chief=("p50 while slow", lambda figures: f"{figures.more['p50 while slow ms']:.0f} ms, {figures.failed} failed"),
    intrusive="",
)
