"""The pooler in front of the server is restarted."""

from __future__ import annotations

from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.pooler import missing
from poolkeeper.drill.props import session_pooler
from poolkeeper.drill.restart import AWAY, expect, in_flight
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage


def restart_pooler(stage: Stage) -> None:
    stage.pooler.stop()
    stage.mark("down")
    stage.wait(AWAY)
    stage.pooler.start()


SCENARIO = Scenario(
    name="pgbouncer-restart",
    question="PgBouncer is stopped and away for a second, the server behind it is not. Who fails?",
    steady="100 requests per second through PgBouncer in session mode, half of them transfers",
    predicted="For a pool it is a server that restarts: stock pools fail every request of the outage, poolkeeper only "
    "those in flight.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((100, 4.0),), mix={"read": 50, "transfer": 50}),
    fault_at=1.0,
    fault=restart_pooler,
    measure=in_flight,
    props=session_pooler(default_pool_size=40),
    missing=missing,
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
)
