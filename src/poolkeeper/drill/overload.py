"""What the scenarios share that offer more than the pool can serve."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, nothing_left

# Seconds that a request keeps its connection. Long, so that the pool is the limit and not the processor.
HOLD = 0.4
PATIENCE = 2.0
OVERLOAD = 5.0
_POOL = 20
_CALM = 2.0
# The queue fills first; then each second counts.
_FILLED = 1.0


def offered(times: int) -> float:
    """Requests per second that are so many times the capacity of a pool of 20."""
    return times * _POOL / HOLD


def load(times: int) -> PhasedLoad:
    """So many times the capacity, and then a sixth of it."""
    phases = ((offered(times), OVERLOAD), (_POOL / HOLD / 6, _CALM))
    return PhasedLoad(phases=phases, mix={"slow": 100}, timeout=PATIENCE, hold=HOLD)


def until_the_load_falls(stage: Stage) -> None:
    stage.wait_until(OVERLOAD)


def goodput(seen: Observed) -> dict[str, float]:
    """Work for successes under overload, as a share of what the stack's own pool could do at best.

    Counted in time of connections and not in ends: those come in waves, and a wave more or less is a tenth of them.
    """
    ends = [each.end for each in seen.outcomes if each.kind == "ok"]
    worked = sum(max(0.0, min(end, OVERLOAD) - max(end - HOLD, _FILLED)) for end in ends)
    busy = worked / (OVERLOAD - _FILLED)
    return {"goodput per second": busy / HOLD, "share of capacity": busy / seen.connections}


def expect(figures: Figures) -> Iterable[Check]:
    yield at_least("goodput, share of capacity", figures.more["share of capacity"], 0.95)
    yield at_most("requests that were neither served nor refused", figures.failed, 0)
    yield at_most("well again after the load falls", figures.healthy_after, 1.0, "s")
    yield from nothing_left(figures)
