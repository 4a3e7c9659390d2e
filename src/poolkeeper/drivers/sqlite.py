"""SQLite: aiosqlite and the standard library's sqlite3. A file, so there is no socket, handshake or peer."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Engine

from poolkeeper.drivers.base import ConnectOptions, own_arguments


@dataclass(frozen=True, slots=True)
class Pysqlite:
    """The driver `sqlite`."""

    url: URL
    is_async: bool = False
    serialises_commands: bool = True

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        """The user's own only: no other option has a meaning for a file."""
        return own_arguments(self.url, options, {})

    def attach(self, engine: Engine, options: ConnectOptions) -> None:
        """Nothing is left to do."""

    def socket_of(self, driver_connection: Any) -> int | None:  # noqa: ARG002
        return None

    def is_closed(self, driver_connection: Any) -> bool:
        return _is_closed(driver_connection)

    def abort(self, driver_connection: Any) -> None:
        """Interrupt the statement that runs; the connection stays good and nobody is disconnected."""
        _interrupt(driver_connection)


@dataclass(frozen=True, slots=True)
class Aiosqlite(Pysqlite):
    """The driver `sqlite+aiosqlite`."""

    is_async: bool = True
    serialises_commands: bool = True

    def is_closed(self, driver_connection: Any) -> bool:
        return driver_connection._connection is None or _is_closed(driver_connection._connection)

    def abort(self, driver_connection: Any) -> None:
        if driver_connection._connection is not None:
            _interrupt(driver_connection._connection)


def _interrupt(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        connection.interrupt()


def _is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError as error:
        return "closed" in str(error)
    return False
