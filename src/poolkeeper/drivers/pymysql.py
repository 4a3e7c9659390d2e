"""PyMySQL: MySQL and MariaDB, blocking."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sqlalchemy import URL, Engine

from poolkeeper.drivers.base import ConnectOptions, own_arguments
from poolkeeper.drivers.deadline import within
from poolkeeper.drivers.mysql_session import (
    ASK_IDLE_CUT,
    idle_cut_of,
    note_idle_cut,
    session_number,
    session_setting,
    timed_out,
    transaction_is_open,
)
from poolkeeper.drivers.names import fitting
from poolkeeper.drivers.orphans import release
from poolkeeper.drivers.sockets import keep_alive, shut_down


@dataclass(frozen=True, slots=True)
class Pymysql:
    """The driver `mysql+pymysql` (and `mariadb+pymysql`)."""

    url: URL
    is_async: bool = False
    serialises_commands: bool = False

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        ours = {"program_name": fitting(options.application_name), "connect_timeout": options.connect_timeout}
        return own_arguments(self.url, options, ours)

    def attach(self, engine: Engine, options: ConnectOptions) -> None:
        plain_connect = engine.dialect.connect

        def connect(*args: Any, **kwargs: Any) -> Any:
            connection: Any = plain_connect(*args, **{**kwargs, "defer_connect": True})

            def opened() -> None:
                connection.connect()
                keep_alive(self.socket_of(connection), options.tcp_keepalive)
                if (setting := session_setting(options)) is not None:
                    connection.query(setting)
                with connection.cursor() as cursor:
                    cursor.execute(ASK_IDLE_CUT)
                    note_idle_cut(connection, *cursor.fetchone())

            try:
                within(options.connect_timeout, opened, lambda _late: self.abort(connection))
            except TimeoutError as error:
                # Wakes the thread that still waits for the server's greeting.
                self.abort(connection)
                pymysql: Any = import_module("pymysql")
                raise pymysql.OperationalError(*timed_out(options)) from error
            return connection

        # Not a `do_connect` listener: the first one that returns a connection keeps all others from running.
        engine.dialect.connect = connect  # type: ignore[method-assign]

    def socket_of(self, driver_connection: Any) -> int | None:
        with contextlib.suppress(Exception):
            fd = int(driver_connection._sock.fileno())
            return None if fd < 0 else fd
        return None

    def is_closed(self, driver_connection: Any) -> bool:
        return not driver_connection.open

    def abort(self, driver_connection: Any) -> None:
        shut_down(self.socket_of(driver_connection))

    def abandon(self, driver_connection: Any, *, keep_session: bool) -> None:
        release(self.socket_of(driver_connection), keep_session=keep_session)
        # Without a goodbye to the server.
        with contextlib.suppress(Exception):
            driver_connection._force_close()

    def is_in_transaction(self, driver_connection: Any) -> bool:  # noqa: ARG002
        return True

    def backend_of(self, driver_connection: Any) -> int | None:
        return session_number(driver_connection)

    def transaction_is_open(self, driver_connection: Any) -> bool | None:
        return transaction_is_open(driver_connection)

    def refuses_writes(self, driver_connection: Any) -> bool | None:  # noqa: ARG002
        return None

    def idle_cut_of(self, driver_connection: Any) -> float | None:
        return idle_cut_of(driver_connection)
