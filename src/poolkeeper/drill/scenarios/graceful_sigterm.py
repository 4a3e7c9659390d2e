"""The orchestrator asks the service to stop, under load."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, nothing_left, served

# Seconds; what still runs then would be killed.
_PATIENT = 8.0
# A request that is on its way while the port closes belongs to nobody.
_ON_ITS_WAY = 0.1


def terminate(stage: Stage) -> None:
    os.kill(stage.service.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        stage.service.wait(_PATIENT)


def those_before(seen: Observed) -> dict[str, float]:
    """What became of the requests that the service had when it was asked to stop."""
    asked = seen.marks["fault"]
    before = [each for each in seen.outcomes if each.due < asked - _ON_ITS_WAY]
    return {
        "in flight": float(sum(each.end > asked for each in before)),
        "not answered": float(sum(each.kind != "ok" for each in before)),
        "ended after s": seen.marks["over"] - asked,
    }


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_least("requests in flight", figures.more["in flight"], 1)
    yield at_most("of those before the signal, not answered", figures.more["not answered"], 0)
    yield at_most("ended after", figures.more["ended after s"], _PATIENT / 2, "s")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="graceful-sigterm",
    question="SIGTERM, in the middle of transfers. Is each finished and answered, and is the server left clean?",
    steady="40 transfers of 300 ms per second",
    predicted="uvicorn finishes what it has, and every stack closes its connections. After that the port refuses, "
    "which is for a second process to cover.",
    breaks=frozenset(),
    load=PhasedLoad(phases=((40, 2.5),), mix={"transfer": 100}, hold=0.3),
    fault_at=1.5,
    fault=terminate,
    measure=those_before,
    expect=expect,
    chief=("cut off", lambda figures: f"{figures.more['not answered']:.0f} cut off"),
    intrusive="",
)
