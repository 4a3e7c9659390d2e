"""What the scenarios share in which the server is away for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_most, no_storm, nothing_left, served

# Seconds from the stop to the start; a small server alone would be back in a fifth of it.
AWAY = 1.0
HEALTHY_WITHIN = 1.0


def restart(mode: Literal["fast", "immediate"]) -> Callable[[Stage], None]:
    """The fault: the server is stopped, is away for a second, and is over when the server accepts again."""

    def fault(stage: Stage) -> None:
        stage.server.stop(mode)
        stage.mark("down")
        stage.wait(AWAY)
        stage.server.start()

    return fault


def in_flight(seen: Observed) -> dict[str, float]:
    """How many requests the stop has met."""
    return {"in flight": float(len(seen.during("fault", "down")))}


def only_in_flight(figures: Figures) -> Iterable[Check]:
    """What holds for any pool, whatever its size."""
    yield served(figures)
    yield at_most("failed requests beside those in flight", max(0, figures.failed - figures.more["in flight"]), 0)
    yield at_most("healthy after the server accepts", figures.healthy_after, HEALTHY_WITHIN, "s")


def expect(figures: Figures) -> Iterable[Check]:
    yield from only_in_flight(figures)
    yield from no_storm(figures)
    yield from nothing_left(figures)


def chief(figures: Figures) -> str:
    """For the table: whom it cost an answer, and what the server met when it came back."""
    at_once = "" if figures.connects_at_once is None else f", {figures.connects_at_once} connects at once"
    return f"{figures.failed} failed{at_once}"
