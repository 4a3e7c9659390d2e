"""One of two worker processes is killed, as by the kernel for its memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, nothing_left, served

# Seconds within which uvicorn has to have a new worker up: it looks each half second, and a start takes about one.
_PATIENT = 8.0
# Who comes while the kernel closes the sockets of the dead one is met like those whom it had.
_CLOSING = 0.1


def kill_a_worker(stage: Stage) -> None:
    os.kill(stage.service.worker_pids[0], signal.SIGKILL)
    stage.wait(_CLOSING)
    stage.mark("down")
    stage.wait_for(lambda: stage.service.started > stage.service.workers, _PATIENT)


def met(seen: Observed) -> dict[str, float]:
    """How many requests were under way when it was killed, and after how many seconds another served."""
    return {
        "in flight": float(len(seen.during("fault", "down"))),
        "replaced after s": seen.marks["over"] - seen.marks["fault"],
    }


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_least("requests in flight", figures.more["in flight"], 1)
    yield at_most("failed requests beside those in flight", max(0, figures.failed - figures.more["in flight"]), 0)
    yield at_most("replaced after", figures.more["replaced after s"], _PATIENT, "s")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="worker-sigkill",
    question="One of two workers is killed in the middle of transfers. Is more lost than those it had?",
    steady="60 transfers of 100 ms per second on two workers",
    predicted="Its requests in flight fail, and the server rolls back what was not committed. The other worker goes "
    "on, on every stack; commits after the response are the risk of the first two.",
    breaks=frozenset(),
    load=PhasedLoad(phases=((60, 5.0),), mix={"transfer": 100}, hold=0.1),
    fault_at=1.5,
    fault=kill_a_worker,
    measure=met,
    workers=2,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed of {figures.more['in flight']:.0f} in flight"),
    intrusive="",
)
