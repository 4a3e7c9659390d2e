"""Connections that were opened together reach their age together."""

from __future__ import annotations

import math
from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, at_most, none_failed, none_refused, nothing_left, served

# Seconds; a real one is an hour, and all that matters is that it passes once.
_RECYCLE = 4
# The share of that age over which poolkeeper spreads replacements (`recycle_jitter`), and how many times faster than
# evenly it may come to one after the other, where their dice fell close together.
_SPREAD, _PACE = 0.2, 2
_WINDOW = 0.1
# One that the window catches at each of its ends.
_MARGIN = 2


def replaced_within_window(slots: int) -> int:
    """The most connects within 100 ms of a pool that spreads its replacements."""
    return math.ceil(slots * _WINDOW / (_RECYCLE * _SPREAD) * _PACE) + _MARGIN


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield at_most("connects within 100 ms", figures.connects_in_100_ms, replaced_within_window(figures.slots))
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
    chief=("connects in 100 ms", lambda figures: f"{figures.connects_in_100_ms} connects in 100 ms"),
    intrusive="",
)
