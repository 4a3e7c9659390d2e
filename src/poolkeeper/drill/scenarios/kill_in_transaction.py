"""Connections die in the middle of transactions."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, nothing_left, served


def kill_in_transaction(stage: Stage) -> None:
    stage.counts["killed"] = stage.terminate_backends("xact_start IS NOT NULL")


def killed(seen: Observed) -> dict[str, float]:
    return {"killed": seen.counts["killed"]}


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_least("transactions that were ended", figures.more["killed"], 1)
    yield at_most("failed requests beside those", max(0, figures.failed - figures.more["killed"]), 0)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="kill-in-transaction",
    question="The server ends every connection that is in a transaction. Do only their requests fail?",
    steady="60 requests per second, transfers of 150 ms among them",
    predicted="Exactly those in flight fail, on every stack: their work is rolled back, and nobody may repeat it for "
    "them. No other caller notices.",
    breaks=frozenset(),
    load=PhasedLoad(phases=((60, 3.5),), mix={"read": 40, "transfer": 60}, hold=0.15),
    fault_at=1.5,
    fault=kill_in_transaction,
    measure=killed,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed of {figures.more['killed']:.0f} killed"),
    intrusive="",
)
