"""Others have the server's connections."""

from __future__ import annotations

from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import neighbours
from poolkeeper.drill.scarce import LEFT, expect
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage


def others_come_first(stage: Stage) -> None:
    """All connections are lost, and before they can be opened again others have taken the room."""
    stage.proxy.refuse()
    stage.terminate_backends()
    stage.crowd.take_all_but(LEFT)
    stage.proxy.heal()


def others_leave(stage: Stage) -> None:
    stage.wait_until(3.0)
    stage.crowd.leave()


SCENARIO = Scenario(
    name="too-many-connections",
    question=f"The server has room for {LEFT} connections of 20: the rest belong to others. Who fails?",
    steady="20 requests at once, then 40 of 100 ms per second; the others leave after 3 s",
    predicted=f"{LEFT} connections are enough for this load. A stock pool asks for more in the request that wants one, "
    "and it fails; poolkeeper lets callers wait for those that there are.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    before=others_come_first,
    load=PhasedLoad(phases=((400, 0.05), (40, 4.45)), mix={"slow": 70, "transfer": 30}, hold=0.1),
    fault=others_leave,
    props=neighbours,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
)
