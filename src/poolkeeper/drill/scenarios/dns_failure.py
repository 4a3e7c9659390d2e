"""The name of the server cannot be looked up."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import HOSTS, named_host
from poolkeeper.drill.restart import HEALTHY_WITHIN
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, no_storm, none_failed, nothing_left, served

# Seconds without a name, and without one of the connections that were there.
_FOR = 1.5


def lose_the_name(stage: Stage) -> None:
    hosts = stage.folder / HOSTS
    names = hosts.read_text()
    hosts.write_text("")
    stage.counts["ended"] = stage.terminate_backends("state = 'idle'")
    stage.wait(_FOR)
    hosts.write_text(names)


def ended(seen: Observed) -> dict[str, float]:
    return {"ended": seen.counts["ended"]}


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    # A pool notices by trying: after a quarter of the time that was lost, and one attempt at a time.
    yield at_most("well again after the name is back", figures.healthy_after, HEALTHY_WITHIN, "s")
    yield from no_storm(figures)
    yield at_least("connections that were ended", figures.more["ended"], 1)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="dns-failure",
    question="The idle connections end while the name server does not answer, for 1.5 s. Who fails?",
    steady="50 reads per second, all connections open",
    predicted="A stock pool looks the name up in each request, and each fails. For poolkeeper it is a server that "
    "restarts: callers wait, or are told when to come back.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((50, 4.5),), mix={"read": 100}),
    fault_at=1.0,
    fault=lose_the_name,
    measure=ended,
    props=named_host,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
)
