"""Three times what the pool can serve."""

from __future__ import annotations

from poolkeeper.drill.overload import HOLD, OVERLOAD, expect, goodput, load, offered, until_the_load_falls
from poolkeeper.drill.scenario import Scenario

_TIMES = 3

SCENARIO = Scenario(
    name="overload-x3",
    question="Three times the load that the pool can serve, from callers who wait for 2 s. How much is answered?",
    steady=f"{offered(_TIMES):.0f} requests of {HOLD:g} s per second for {OVERLOAD:g} s, then a sixth of the capacity",
    predicted="With a long pool_timeout nearly every connection goes to a caller who has left. A wait of 1 s keeps "
    "most of the capacity. poolkeeper keeps it, and refuses at once whom it cannot answer in time.",
    breaks=frozenset({"naive", "guide"}),
    load=load(_TIMES),
    fault=until_the_load_falls,
    measure=goodput,
    expect=expect,
    chief=("of capacity", lambda figures: f"{figures.more['share of capacity']:.0%} answered"),
    quick=True,
    intrusive="",
)
