"""The role of the service may have fewer connections than its pool."""

from __future__ import annotations

from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import role_with
from poolkeeper.drill.scarce import LEFT, expect
from poolkeeper.drill.scenario import Scenario

SCENARIO = Scenario(
    name="role-limit",
    question=f"The role has a CONNECTION LIMIT of {LEFT}, and the pool has 20. Does anybody fail?",
    steady="20 requests at once, then 40 of 100 ms per second",
    predicted="A stock pool believes in its own number and asks for more in the request that wants one, which fails. "
    "poolkeeper lets callers wait for the connections that it can get.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((400, 0.05), (40, 3.95)), mix={"slow": 70, "transfer": 30}, hold=0.1),
    props=role_with(LEFT),
    expect=expect,
    chief=("failed", lambda figures: f"{figures.failed} failed"),
    opened=False,
)
