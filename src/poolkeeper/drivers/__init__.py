"""Everything that a database driver does in its own way, one file each."""

from __future__ import annotations

from poolkeeper.drivers.base import ConnectOptions, Driver
from poolkeeper.drivers.codes import (
    is_deadlock,
    is_from_server,
    is_lock_timeout,
    is_pooler_timeout,
    is_server_away_from_pooler,
    is_statement_timeout,
    number_of,
    sqlstate_of,
)
from poolkeeper.drivers.deadline import within
from poolkeeper.drivers.evidence import Evidence, evidence_of
from poolkeeper.drivers.failures import PasswordError, classify_connect_failure
from poolkeeper.drivers.fetches import WatchedCursor
from poolkeeper.drivers.outcomes import leaves_commit_open, retry_reason
from poolkeeper.drivers.registry import driver_for, driver_of, known_drivers

__all__ = [
    "ConnectOptions",
    "Driver",
    "Evidence",
    "PasswordError",
    "WatchedCursor",
    "classify_connect_failure",
    "driver_for",
    "driver_of",
    "evidence_of",
    "is_deadlock",
    "is_from_server",
    "is_lock_timeout",
    "is_pooler_timeout",
    "is_server_away_from_pooler",
    "is_statement_timeout",
    "known_drivers",
    "leaves_commit_open",
    "number_of",
    "retry_reason",
    "sqlstate_of",
    "within",
]
