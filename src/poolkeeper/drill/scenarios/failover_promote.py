"""The primary dies, and its replica is promoted."""

from __future__ import annotations

from poolkeeper.drill.failover import expect, promote, writes
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import follower
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage

# Seconds until somebody, or something, has decided.
_DECIDED_AFTER = 0.3


def die_and_promote(stage: Stage) -> None:
    stage.server.kill()
    stage.mark("down")
    stage.wait(_DECIDED_AFTER)
    promote(stage)


SCENARIO = Scenario(
    name="failover-promote",
    question="The primary is killed and the replica promoted; the name follows 2 s later. When are writes done again?",
    steady="100 requests per second, half of them transfers; each COMMIT waits for the replica",
    predicted="Stock pools know one name and fail every request until it has moved. poolkeeper knows the replica, "
    "reads from it throughout, and writes there as soon as it is the primary.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((100, 6.0),), mix={"read": 50, "transfer": 50}),
    fault_at=1.0,
    fault=die_and_promote,
    measure=writes,
    props=follower,
    expect=expect,
    chief=("first write after promotion", lambda figures: f"{figures.more['first write after s']:.1f} s"),
)
