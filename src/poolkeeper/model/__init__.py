"""Frozen values: the language that every other room speaks."""

from poolkeeper.model.finding import Confidence, Finding, Severity, errors_in
from poolkeeper.model.histogram import BOUNDS, Histogram
from poolkeeper.model.holder import Holder, Phase
from poolkeeper.model.place import Place
from poolkeeper.model.pool_events import (
    CloseReason,
    PoolCounts,
    PoolEvent,
    PoolEventKind,
    PoolObserver,
    RefusalReason,
)
from poolkeeper.model.process import ClientName, Pools, Threads
from poolkeeper.model.refused import Refused
from poolkeeper.model.replica import HostState, Position, ReplicaView, Role, Standing
from poolkeeper.model.report import Report
from poolkeeper.model.retries import Retries, RetryReason
from poolkeeper.model.server import Ceiling, PoolerFacts, ServerFacts, ServerSession
from poolkeeper.model.snapshot import (
    ConnectTrouble,
    Deadlocks,
    LoopLag,
    NestedCheckouts,
    PoolSnapshot,
    Timings,
    Totals,
)
from poolkeeper.model.statement import shape_of

__all__ = [
    "BOUNDS",
    "Ceiling",
    "ClientName",
    "CloseReason",
    "Confidence",
    "ConnectTrouble",
    "Deadlocks",
    "Finding",
    "Histogram",
    "Holder",
    "HostState",
    "LoopLag",
    "NestedCheckouts",
    "Phase",
    "Place",
    "PoolCounts",
    "PoolEvent",
    "PoolEventKind",
    "PoolObserver",
    "PoolSnapshot",
    "PoolerFacts",
    "Pools",
    "Position",
    "RefusalReason",
    "Refused",
    "ReplicaView",
    "Report",
    "Retries",
    "RetryReason",
    "Role",
    "ServerFacts",
    "ServerSession",
    "Severity",
    "Standing",
    "Threads",
    "Timings",
    "Totals",
    "errors_in",
    "shape_of",
]
