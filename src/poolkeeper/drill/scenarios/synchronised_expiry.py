"""Connections that were opened together reach their age together."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, at_most, none_failed, none_refused, nothing_left, served

# Seconds; a real one is an hour, and all that matters is that it passes once.
_RECYCLE = 4


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield at_most("connects within 100 ms", figures.connects_at_once, figures.slots // 2)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="synchronised-expiry",
    question="All connections reach pool_recycle at once. Are they all replaced at once, inside requests?",
    steady=f"200 reads per second, connections opened together, pool_recycle {_RECYCLE} s",
    predicted="Stock pools reconnect all of them within the same moment, each in a request. poolkeeper spreads them "
    "and replaces them in the background. The naive pool has no age, so nothing happens to it.",
    breaks=frozenset({"guide", "tuned"}),
    load=PhasedLoad(phases=((200, 5.5),), mix={"read": 100}),
    settings={"pool_recycle": _RECYCLE},
    expect=expect,
    chief=("connects in 100 ms", lambda figures: f"{figures.connects_at_once} at once"),
    intrusive="",
)
