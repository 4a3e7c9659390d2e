"""The pooler in front of the server is restarted; it is in transaction mode."""

from __future__ import annotations

from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.pooled import restart_pooler
from poolkeeper.drill.pooler import missing
from poolkeeper.drill.props import pooler_in
from poolkeeper.drill.restart import chief, expect, in_flight
from poolkeeper.drill.scenario import Scenario

SCENARIO = Scenario(
    name="pgbouncer-restart-transaction",
    question="PgBouncer is stopped and away for a second, the server behind it is not. Who fails?",
    steady="100 requests per second through PgBouncer in transaction mode, half of them transfers",
    predicted="For a pool it is a server that restarts: stock pools fail every request of the outage, poolkeeper only "
    "those in flight.",
    breaks=frozenset({"naive", "guide", "tuned"}),
    load=PhasedLoad(phases=((100, 4.0),), mix={"read": 50, "transfer": 50}),
    fault_at=1.0,
    fault=restart_pooler,
    measure=in_flight,
    props=pooler_in("transaction", default_pool_size=10),
    missing=missing,
    expect=expect,
    chief=("failed, connects", chief),
)
