"""SQLite: aiosqlite and the standard library's sqlite3. A file, so there is no socket, handshake or peer."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sqlalchemy import URL, Engine

from poolkeeper.drivers.base import ConnectOptions, own_arguments

_parents: list[Any] = []


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

    def abandon(self, driver_connection: Any, *, keep_session: bool) -> None:
        # A child must not close what its parent works with (https://www.sqlite.org/howtocorrupt.html, section 2.6).
        if keep_session:
            _parents.append(driver_connection)
        else:
            driver_connection.close()

    def is_in_transaction(self, driver_connection: Any) -> bool:  # noqa: ARG002
        return True

    def backend_of(self, driver_connection: Any) -> int | None:  # noqa: ARG002
        return None

    def transaction_is_open(self, driver_connection: Any) -> bool | None:
        return bool(driver_connection.in_transaction)

    def refuses_writes(self, driver_connection: Any) -> bool | None:  # noqa: ARG002
        return None

    def idle_cut_of(self, driver_connection: Any) -> float | None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class Aiosqlite(Pysqlite):
    """The driver `sqlite+aiosqlite`."""

    is_async: bool = True
    serialises_commands: bool = True

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        return own_arguments(self.url, options, {"factory": RollsBackAtClose, "async_creator_fn": _connection})

    def is_closed(self, driver_connection: Any) -> bool:
        return driver_connection._connection is None or _is_closed(driver_connection._connection)

    def abort(self, driver_connection: Any) -> None:
        if driver_connection._connection is not None:
            _interrupt(driver_connection._connection)

    def abandon(self, driver_connection: Any, *, keep_session: bool) -> None:
        if keep_session:
            # Its thread is the parent's; its finaliser would miss it.
            _parents.append(driver_connection._connection)
            driver_connection._connection = None
        elif (stop := getattr(driver_connection, "stop", None)) is not None:
            # Its thread closes it, and tells nobody: there is no loop to tell.
            stop()


def _connection(*args: Any, **kwargs: Any) -> Any:
    aiosqlite: Any = import_module("aiosqlite")
    connection = aiosqlite.connect(*args, **kwargs)
    # Before 0.22 the connection was the thread itself. A thread that is no daemon keeps the process from ending.
    getattr(connection, "_thread", connection).daemon = True
    if (stop := getattr(connection, "stop", None)) is not None:
        connection.stop = _once(stop)
    return connection


def _once(stop: Callable[[], Any]) -> Callable[[], Any]:
    """Stop the thread of a connection at most once.

    A cancelled close() is stopped from outside, and would then wait for ever for a second stop that no thread answers.
    """
    stops = iter((stop,))
    return lambda: next(stops, lambda: None)()


class RollsBackAtClose(sqlite3.Connection):
    """A connection that ends its transaction when it is closed.

    SQLite itself waits for the last cursor. That of a cancelled statement lives as long as the traceback of the
    cancellation, and the database would stay locked for every other writer.
    """

    def close(self) -> None:
        if not _is_closed(self):
            self.rollback()
        super().close()


def _interrupt(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        connection.interrupt()


def _is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError as error:
        return "closed" in str(error)
    return False
