"""Ten times what the pool can serve."""

from __future__ import annotations

from poolkeeper.drill.overload import HOLD, OVERLOAD, expect, goodput, load, offered, until_the_load_falls
from poolkeeper.drill.scenario import Scenario

_TIMES = 10

SCENARIO = Scenario(
    name="overload-x10",
    question="Ten times the load that the pool can serve. Is as much answered as at three times?",
    steady=f"{offered(_TIMES):.0f} requests of {HOLD:g} s per second for {OVERLOAD:g} s, then a sixth of the capacity",
    predicted="Nine of ten have to be turned away, and that has to cost next to nothing: whoever waits in vain keeps a "
    "place in the queue, memory and the processor from those who can be served.",
    breaks=frozenset({"naive", "guide"}),
    load=load(_TIMES),
    fault=until_the_load_falls,
    measure=goodput,
    expect=expect,
    chief=("of capacity", lambda figures: f"{figures.more['share of capacity']:.0%} answered"),
    intrusive="",
)
