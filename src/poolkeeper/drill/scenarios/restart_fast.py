"""The server is restarted in good order, under load."""

from __future__ import annotations

from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.restart import chief, expect, in_flight, restart
from poolkeeper.drill.scenario import Scenario

SCENARIO = Scenario(
    name="restart-fast",
    question="The server is restarted and away for a second. Who fails, and how fast is the service well again?",
    steady="100 requests per second, half of them transfers",
    predicted="Stock pools fail every request of the outage and open a connection for each. poolkeeper lets callers "
    "wait or refuses them at once, knocks now and then, and is well within a second.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((100, 4.0),), mix={"read": 50, "transfer": 50}),
    fault_at=1.0,
    fault=restart("fast"),
    measure=in_flight,
    expect=expect,
    chief=("failed, connects", chief),
    quick=True,
    intrusive="it restarts the server",
)
