"""psycopg: PostgreSQL, asyncio and blocking."""

from __future__ import annotations

import asyncio
import contextlib
import math
import traceback
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Engine

from poolkeeper.drivers.base import ConnectOptions, hosts_of, milliseconds, own_arguments, takes_no_writes
from poolkeeper.drivers.deadline import within
from poolkeeper.drivers.names import fitting
from poolkeeper.drivers.orphans import release
from poolkeeper.drivers.sockets import keepalive_after, shut_down

# libpq's PQTRANS_ACTIVE.
_STATEMENT_UNDER_WAY = 1


@dataclass(frozen=True, slots=True)
class Psycopg:
    """The driver `postgresql+psycopg` of a blocking engine."""

    url: URL
    is_async: bool = False
    serialises_commands: bool = True

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        ours = _keepalives(options) | {
            "application_name": fitting(options.application_name),
            # libpq counts whole seconds, at least 2, for each address anew; the exact deadline is ours. Where there are
            # several hosts, one that is silent must leave time for the next.
            "connect_timeout": max(2, math.ceil(options.connect_timeout / hosts_of(self.url))),
        }
        if not options.prepared_statements:
            ours["prepare_threshold"] = None
        arguments = own_arguments(self.url, options, ours)
        if options.statement_timeout is not None and options.startup_parameters:
            given = arguments.get("options", self.url.query.get("options", ""))
            arguments["options"] = f"-c statement_timeout={milliseconds(options.statement_timeout)} {given}".rstrip()
        return arguments

    def attach(self, engine: Engine, options: ConnectOptions) -> None:
        plain_connect = engine.dialect.connect

        def connect(*args: Any, **kwargs: Any) -> Any:
            from psycopg import errors

            try:
                return within(
                    options.connect_timeout, lambda: plain_connect(*args, **kwargs), lambda late: late.close()
                )
            except TimeoutError as error:
                raise errors.ConnectionTimeout(_timed_out(options)) from error
            except asyncio.CancelledError as error:
                # psycopg closes a half-open connection by forgetting it. A logged or stored traceback remembers it, and
                # the server keeps the session as long.
                traceback.clear_frames(error.__traceback__)
                raise

        # Not a `do_connect` listener: the first one that returns a connection keeps all others from running.
        engine.dialect.connect = connect  # type: ignore[method-assign]

    def socket_of(self, driver_connection: Any) -> int | None:
        # libpq's own accessor raises once the connection is gone.
        with contextlib.suppress(Exception):
            fd = int(driver_connection.pgconn.socket)
            return None if fd < 0 else fd
        return None

    def is_closed(self, driver_connection: Any) -> bool:
        return bool(driver_connection.closed)

    def abort(self, driver_connection: Any) -> None:
        shut_down(self.socket_of(driver_connection))

    def abandon(self, driver_connection: Any, *, keep_session: bool) -> None:
        release(self.socket_of(driver_connection), keep_session=keep_session)
        # libpq needs no loop, and its goodbye now reaches nobody.
        with contextlib.suppress(Exception):
            driver_connection.pgconn.finish()

    def is_in_transaction(self, driver_connection: Any) -> bool:
        return bool(driver_connection.pgconn.transaction_status)

    def backend_of(self, driver_connection: Any) -> int | None:
        return int(driver_connection.pgconn.backend_pid) or None

    def transaction_is_open(self, driver_connection: Any) -> bool | None:
        # What is not idle may be a statement under way in no transaction.
        status = int(driver_connection.pgconn.transaction_status)
        return None if status == _STATEMENT_UNDER_WAY else bool(status)

    def refuses_writes(self, driver_connection: Any) -> bool | None:
        told = driver_connection.pgconn.parameter_status
        return takes_no_writes(*(_text(told(name)) for name in (b"in_hot_standby", b"default_transaction_read_only")))

    def idle_cut_of(self, driver_connection: Any) -> float | None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class PsycopgAsync(Psycopg):
    """The driver `postgresql+psycopg` of an asyncio engine."""

    is_async: bool = True
    serialises_commands: bool = True

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        async def connect(*args: Any, **kwargs: Any) -> Any:
            from psycopg import errors

            try:
                async with asyncio.timeout(options.connect_timeout):
                    return await _connect(*args, **kwargs)
            except TimeoutError as error:
                raise errors.ConnectionTimeout(_timed_out(options)) from error

        return {"async_creator_fn": connect} | Psycopg.connect_args(self, options)

    def attach(self, engine: Engine, options: ConnectOptions) -> None:
        """Nothing is left to do."""


async def _connect(*args: Any, **kwargs: Any) -> Any:
    from psycopg import AsyncConnection

    try:
        return await AsyncConnection.connect(*args, **kwargs)
    except asyncio.CancelledError as error:
        # psycopg closes a half-open connection by forgetting it. A logged or stored traceback would remember it, and
        # the server would keep the session as long.
        traceback.clear_frames(error.__traceback__)
        raise


def _text(reported: bytes | None) -> str | None:
    return None if reported is None else reported.decode()


def _keepalives(options: ConnectOptions) -> dict[str, Any]:
    if options.tcp_keepalive is None:
        return {}
    keepalive = keepalive_after(options.tcp_keepalive)
    return {
        "keepalives": 1,
        "keepalives_idle": keepalive.idle,
        "keepalives_interval": keepalive.interval,
        "keepalives_count": keepalive.probes,
        "tcp_user_timeout": keepalive.unanswered * 1000,
    }


def _timed_out(options: ConnectOptions) -> str:
    return f"no connection within connect_timeout = {options.connect_timeout:g} s"
