"""A session that nobody closes, in one route of many."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.verdict import Check, at_most, named, served


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_most("callers left without an answer", figures.failed, 0)
    yield named(figures, "leak")
    yield at_most("connections left on the server", figures.backends_left, 0)


SCENARIO = Scenario(
    name="leak",
    question="One route of two leaks its session, until no connection is left. What are callers told? Who is named?",
    steady="50 requests per second; every third asks for a customer, and leaks",
    predicted="No pool can take the connection back from code that still has it. Stock pools let callers wait, for "
    "half a minute or a second; poolkeeper tells them so and names the line that leaks.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((50, 4.5),), mix={"read": 65, "customer": 35}),
    mistake="leak",
    expect=expect,
    chief=("unanswered", lambda figures: f"{figures.failed} unanswered"),
    intrusive="",
)
