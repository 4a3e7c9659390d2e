"""The server breaks off everything and recovers, as after a crash."""

from __future__ import annotations

from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.restart import chief, expect, in_flight, restart
from poolkeeper.drill.scenario import Scenario

SCENARIO = Scenario(
    name="restart-immediate",
    question="The server breaks off everything and recovers. Is a transfer lost or done twice?",
    steady="100 requests per second, half of them transfers that take 50 ms",
    predicted="Those in flight fail, and nothing that was reported as done is missing. Stock pools fail every request "
    "of the outage too.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((100, 4.0),), mix={"read": 50, "transfer": 50}, hold=0.05),
    fault_at=1.0,
    fault=restart("immediate"),
    measure=in_flight,
    expect=expect,
    chief=("failed, connects", chief),
    intrusive="it restarts the server",
)
