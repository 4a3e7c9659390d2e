"""Frozen values: the language that every other room speaks."""

from poolkeeper.model.finding import Finding, Severity, errors_in
from poolkeeper.model.pool_events import CloseReason, PoolCounts, PoolEvent, PoolEventKind, PoolObserver
from poolkeeper.model.snapshot import Holder, PoolSnapshot

__all__ = [
    "CloseReason",
    "Finding",
    "Holder",
    "PoolCounts",
    "PoolEvent",
    "PoolEventKind",
    "PoolObserver",
    "PoolSnapshot",
    "Severity",
    "errors_in",
]
