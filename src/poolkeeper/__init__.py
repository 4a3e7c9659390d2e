"""Keeps the database connections of FastAPI + SQLAlchemy services healthy, and explains them when they are not.

The names are loaded at their first use, so that importing the package costs nothing that a program does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolkeeper.database import Database, Databases, Replica
    from poolkeeper.errors import (
        CommandTimeout,
        CommitRefused,
        CommitUnknown,
        ConcurrentSessionUse,
        ConnectFailed,
        ConnectFailure,
        PoolClosed,
        PoolSaturated,
        PoolTimeout,
        ReadOnlySession,
        SessionAcrossStream,
        SessionReleased,
    )
    from poolkeeper.model import Finding, Holder, PoolSnapshot, Position, ReplicaView, Severity
    from poolkeeper.observe import watch
    from poolkeeper.settings import DatabaseSettings, SettingsRefused

    __version__: str

__all__ = [
    "CommandTimeout",
    "CommitRefused",
    "CommitUnknown",
    "ConcurrentSessionUse",
    "ConnectFailed",
    "ConnectFailure",
    "Database",
    "DatabaseSettings",
    "Databases",
    "Finding",
    "Holder",
    "PoolClosed",
    "PoolSaturated",
    "PoolSnapshot",
    "PoolTimeout",
    "Position",
    "ReadOnlySession",
    "Replica",
    "ReplicaView",
    "SessionAcrossStream",
    "SessionReleased",
    "SettingsRefused",
    "Severity",
    "watch",
]

_HOMES = {
    "database": ("Database", "Databases", "Replica"),
    "model": ("Finding", "Holder", "PoolSnapshot", "Position", "ReplicaView", "Severity"),
    "observe": ("watch",),
    "settings": ("DatabaseSettings", "SettingsRefused"),
}
_HOME_OF = {name: f"poolkeeper.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("poolkeeper")
    if name not in __all__:
        raise AttributeError(f"module 'poolkeeper' has no attribute {name!r}")
    # What has no other home is an error.
    value = getattr(import_module(_HOME_OF.get(name, "poolkeeper.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
