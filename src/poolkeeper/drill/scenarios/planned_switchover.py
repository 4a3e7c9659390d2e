"""Somebody moves the primary, in good order."""

from __future__ import annotations

from poolkeeper.drill.failover import expect, promote, writes
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import follower
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage

# Seconds in which transactions that had begun can end.
_LAST_WRITES = 0.2


def switch_over(stage: Stage) -> None:
    """The old primary takes no more writes and goes on answering; the replica has everything when it is promoted."""
    stage.server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    stage.server.execute("SELECT pg_reload_conf()")
    stage.mark("down")
    stage.wait(_LAST_WRITES)
    stage.replica.catch_up()
    promote(stage)


SCENARIO = Scenario(
    name="planned-switchover",
    question="The old primary becomes read-only and goes on answering, another takes the writes. Do pools follow?",
    steady="100 requests per second, half of them transfers of 20 ms",
    predicted="A ping says that the old primary lives, so a stock pool stays with it and fails every write until it is "
    "restarted. poolkeeper goes by what the server says about itself.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((100, 6.0),), mix={"read": 50, "transfer": 50}, hold=0.02),
    fault_at=1.0,
    fault=switch_over,
    measure=writes,
    props=follower,
    expect=expect,
    chief=("first write after promotion", lambda figures: f"{figures.more['first write after s']:.1f} s"),
)
