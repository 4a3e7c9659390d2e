"""Three times what the pool can serve."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, nothing_left

# Seconds that a request keeps its connection. Long, so that the pool is the limit and not the processor.
_HOLD = 0.4
_POOL = 20
_PATIENCE = 2.0
_OFFERED = 3 * _POOL / _HOLD
_OVERLOAD, _CALM = 5.0, 2.0
# The queue fills first; then each second counts.
_FILLED = 1.0


def until_the_load_falls(stage: Stage) -> None:
    stage.wait_until(_OVERLOAD)


def goodput(seen: Observed) -> dict[str, float]:
    """Work for successes under overload, as a share of what the stack's own pool could do at best.

    Counted in time of connections and not in ends: those come in waves, and a wave more or less is a tenth of them.
    """
    ends = [each.end for each in seen.outcomes if each.kind == "ok"]
    worked = sum(max(0.0, min(end, _OVERLOAD) - max(end - _HOLD, _FILLED)) for end in ends)
    busy = worked / (_OVERLOAD - _FILLED)
    return {"goodput per second": busy / _HOLD, "share of capacity": busy / seen.connections}


def expect(figures: Figures) -> Iterable[Check]:
    yield at_least("goodput, share of capacity", figures.more["share of capacity"], 0.95)
    yield at_most("requests that were neither served nor refused", figures.failed, 0)
    yield at_most("well again after the load falls", figures.healthy_after, 1.0, "s")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="overload-x3",
    question="Three times the load that the pool can serve, from callers who wait for 2 s. How much is answered?",
    steady=f"{_OFFERED:.0f} requests of {_HOLD:g} s per second for {_OVERLOAD:g} s, then a sixth of the capacity",
    predicted="With a long pool_timeout nearly every connection goes to a caller who has left. A wait of 1 s keeps "
    "most of the capacity. poolkeeper keeps it, and refuses at once whom it cannot answer in time.",
    breaks=frozenset({"naive", "guide"}),
    load=PhasedLoad(
        phases=((_OFFERED, _OVERLOAD), (_POOL / _HOLD / 6, _CALM)), mix={"slow": 100}, timeout=_PATIENCE, hold=_HOLD
    ),
    fault=until_the_load_falls,
    measure=goodput,
    expect=expect,
    chief=("of capacity", lambda figures: f"{figures.more['share of capacity']:.0%} answered"),
    quick=True,
)
