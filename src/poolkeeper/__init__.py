"""Keeps the database connections of FastAPI + SQLAlchemy services healthy, and explains them when they are not."""

from importlib.metadata import version

from poolkeeper.database import Database, Databases
from poolkeeper.errors import (
    CommandTimeout,
    CommitRefused,
    ConcurrentSessionUse,
    ConnectFailed,
    ConnectFailure,
    PoolClosed,
    ReadOnlySession,
    SessionAcrossStream,
    SessionReleased,
)
from poolkeeper.model import Finding, Holder, PoolSnapshot, Severity
from poolkeeper.settings import DatabaseSettings, SettingsRefused

__version__ = version("poolkeeper")

__all__ = [
    "CommandTimeout",
    "CommitRefused",
    "ConcurrentSessionUse",
    "ConnectFailed",
    "ConnectFailure",
    "Database",
    "DatabaseSettings",
    "Databases",
    "Finding",
    "Holder",
    "PoolClosed",
    "PoolSnapshot",
    "ReadOnlySession",
    "SessionAcrossStream",
    "SessionReleased",
    "SettingsRefused",
    "Severity",
]
