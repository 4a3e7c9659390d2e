"""A slow partner is called inside the transaction."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import slow_provider
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, at_most, named, nothing_left, served

# Seconds that the partner takes. With 20 orders per second, twice as many connections are held as there are.
_TAKES = 2.0


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_most("callers left without an answer", figures.failed, 0)
    yield named(figures, "held-across-external-io")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="external-call-in-transaction",
    question="Orders call a payment provider inside the transaction, and it has become slow. Who still gets an answer?",
    steady=f"60 requests per second, a third of them orders; the provider takes {_TAKES:g} s",
    predicted="Orders hold every connection while they wait for somebody else. No pool cures it; a good one refuses "
    "whom it cannot serve in time, and says what the holders wait for.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((60, 5.0),), mix={"read": 66, "order": 34}, timeout=5.0),
    props=lambda _site: slow_provider(_TAKES),
    mistake="external-call",
    expect=expect,
    chief=("unanswered", lambda figures: f"{figures.failed} unanswered"),
    intrusive="",
)
