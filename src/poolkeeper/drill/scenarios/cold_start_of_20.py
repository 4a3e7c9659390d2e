"""The first requests of a process, all at once."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed, quantile
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_most, none_failed, none_refused, nothing_left

_WAVE = (2000.0, 0.01)
# Seconds between waves, in which one request per second keeps the clock going.
_APART = 1.0
# Each way, as between two zones.
_LATENCY = 0.002


def far_away(stage: Stage) -> None:
    stage.proxy.latency = _LATENCY


def waves(seen: Observed) -> dict[str, float]:
    """The first wave against the third: by then the service's statements are compiled and its routes were used."""
    first, warm = (
        sorted(each.seconds for each in seen.outcomes if begin <= each.due < begin + _WAVE[1])
        for begin in (0.0, 2 * (_WAVE[1] + _APART))
    )
    connects = [sample.connects for sample in seen.samples if sample.at < _APART]
    return {
        "first wave p50 ms": quantile(first, 0.5) * 1000,
        "warm wave p50 ms": quantile(warm, 0.5) * 1000,
        "ratio": quantile(first, 0.5) / quantile(warm, 0.5),
        "opened by the first wave": connects[-1] - connects[0] if connects else 0,
    }


def expect(figures: Figures) -> Iterable[Check]:
    yield none_failed(figures)
    yield none_refused(figures)
    yield at_most("connections that the first requests had to open", figures.more["opened by the first wave"], 0)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="cold-start-of-20",
    question="A fresh process is ready, and 20 requests come at once. What do the first callers pay?",
    steady="none: the service has just said that it is ready; the server is 2 ms away",
    predicted="A stock pool opens its connections inside the first requests. poolkeeper has them open before it says "
    "that it is ready.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    before=far_away,
    load=PhasedLoad(phases=(_WAVE, (1, _APART), _WAVE, (1, _APART), _WAVE, (1, _APART / 2)), mix={"read": 100}),
    measure=waves,
    expect=expect,
    chief=("first / warm p50", lambda figures: f"{figures.more['ratio']:.1f} x"),
    opened=False,
    intrusive="",
)
