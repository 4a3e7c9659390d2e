"""New workers come up beside the old ones, which are then asked to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import role_with
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, none_refused, nothing_left, served

# Two pools of 20 fit, a third beside them does not.
_LIMIT = 50
# Seconds for both workers to be replaced.
_PATIENT = 15.0


def replace_workers(stage: Stage) -> None:
    """On SIGHUP uvicorn starts a new worker beside each old one, waits until it serves, and ends the old one."""
    service = stage.service
    os.kill(service.pid, signal.SIGHUP)
    stage.wait_for(lambda: service.ended >= service.workers and service.started >= 2 * service.workers, _PATIENT)
    stage.counts["replaced"] = service.ended


def deployed(seen: Observed) -> dict[str, float]:
    """Cut off is who met a connection that an old worker was just closing: a balancer in front would drain it."""
    return {
        "workers replaced": seen.counts["replaced"],
        "cut off": float(sum(each.error == "cut off" and each.seconds < 0.1 for each in seen.outcomes)),
        "deployed after s": seen.marks["over"] - seen.marks["fault"],
    }


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_least("workers replaced", figures.more["workers replaced"], 2)
    yield at_most("failed requests beside those cut off", max(0, figures.failed - figures.more["cut off"]), 0)
    yield at_most("requests cut off", figures.more["cut off"], 5)
    yield none_refused(figures)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="rolling-deploy",
    question=f"Two workers are replaced one by one, with room for {_LIMIT} connections for three pools of 20. "
    "Does a caller notice?",
    steady="60 requests per second on two workers, transfers of 50 ms among them",
    predicted="The new worker cannot have all its connections while the old ones live. No stack needs them at this "
    "load, and each finishes what it has begun.",
    breaks=frozenset(),
    load=PhasedLoad(phases=((60, 7.0),), mix={"read": 50, "transfer": 50}, hold=0.05),
    fault_at=0.5,
    fault=replace_workers,
    measure=deployed,
    props=role_with(_LIMIT),
    workers=2,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
)
