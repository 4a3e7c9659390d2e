"""asyncpg: PostgreSQL, asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from sqlalchemy import URL, Engine

from poolkeeper.drivers.base import ConnectOptions, milliseconds, own_arguments, takes_no_writes
from poolkeeper.drivers.failures import classify_connect_failure
from poolkeeper.drivers.names import fitting
from poolkeeper.drivers.orphans import forsake, release
from poolkeeper.drivers.sockets import keep_alive
from poolkeeper.errors import ConnectFailure

# Another host would say the same.
_DEFINITE = frozenset({ConnectFailure.AUTHENTICATION, ConnectFailure.NO_SUCH_DATABASE})


def _unnamed() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Asyncpg:
    """The driver `postgresql+asyncpg`."""

    url: URL
    is_async: bool = True
    serialises_commands: bool = False

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        ours: dict[str, Any] = {"timeout": None, "async_creator_fn": self._creator(options)}
        if not options.prepared_statements:
            ours["statement_cache_size"] = 0
            ours["prepared_statement_cache_size"] = 0
            # Older asyncpg names statements even with its cache off, and the next server connection may know that name.
            ours["prepared_statement_name_func"] = _unnamed
        arguments = own_arguments(self.url, options, ours)
        arguments["server_settings"] = _server_settings(options) | dict(arguments.get("server_settings", {}))
        return arguments

    def attach(self, engine: Engine, options: ConnectOptions) -> None:
        """Nothing is left to do."""

    def _creator(self, options: ConnectOptions) -> Any:
        async def connect(*args: Any, **kwargs: Any) -> Any:
            asyncpg: Any = import_module("asyncpg")
            async with asyncio.timeout(options.connect_timeout):
                connection = await _connect(asyncpg.connect, options.connect_timeout, *args, **kwargs)
            keep_alive(self.socket_of(connection), options.tcp_keepalive)
            return connection

        return connect

    def socket_of(self, driver_connection: Any) -> int | None:
        return None if self.is_closed(driver_connection) else _fd(driver_connection._transport)

    def is_closed(self, driver_connection: Any) -> bool:
        return bool(driver_connection.is_closed())

    def abort(self, driver_connection: Any) -> None:
        # Not close(): it waits up to 2 s for an answer that a silent peer never gives.
        with contextlib.suppress(Exception):
            driver_connection.terminate()

    def abandon(self, driver_connection: Any, *, keep_session: bool) -> None:
        with contextlib.suppress(Exception):
            transport = driver_connection._transport
            release(_fd(transport), keep_session=keep_session)
            forsake(transport)
            # Its finaliser asks is_closed(), which asks this.
            driver_connection._aborted = True

    def is_in_transaction(self, driver_connection: Any) -> bool:
        # Without a protocol it is closed, and the driver's own error says so best.
        return driver_connection._protocol is None or bool(driver_connection.is_in_transaction())

    def backend_of(self, driver_connection: Any) -> int | None:
        return int(driver_connection.get_server_pid()) or None

    def transaction_is_open(self, driver_connection: Any) -> bool | None:
        return self.is_in_transaction(driver_connection)

    def refuses_writes(self, driver_connection: Any) -> bool | None:
        told = driver_connection.get_settings()
        return takes_no_writes(
            getattr(told, "in_hot_standby", None), getattr(told, "default_transaction_read_only", None)
        )

    def idle_cut_of(self, driver_connection: Any) -> float | None:  # noqa: ARG002
        return None


async def _connect(plain: Any, seconds: float, *args: Any, **kwargs: Any) -> Any:
    """The first host that fits, in the order given. One that is silent takes its share of `seconds` and no more."""
    addresses = _addresses(kwargs)
    if len(addresses) <= 1 or _is_choosy(kwargs):
        return await plain(*args, **kwargs)
    end, error = time.monotonic() + seconds, None
    for number, (host, port) in enumerate(addresses):
        try:
            async with asyncio.timeout((end - time.monotonic()) / (len(addresses) - number)):
                return await plain(*args, **kwargs | {"host": host, "port": port})
        except Exception as failure:
            if classify_connect_failure(failure) in _DEFINITE:
                raise
            error = failure
    raise error or ValueError("no host was given")


def _addresses(arguments: dict[str, Any]) -> list[tuple[str, int]]:
    """Those of a URL with several hosts, as SQLAlchemy hands them on."""
    hosts: Any = arguments.get("host")
    ports: Any = arguments.get("port")
    if not (isinstance(hosts, list) and isinstance(ports, list)):
        return []
    return list(zip(cast("list[str]", hosts), cast("list[int]", ports), strict=True))


def _is_choosy(arguments: dict[str, Any]) -> bool:
    """Whether all hosts have to be seen before one is chosen, which is left to asyncpg."""
    return arguments.get("target_session_attrs") == "prefer-standby"


def _server_settings(options: ConnectOptions) -> dict[str, str]:
    settings = {"application_name": fitting(options.application_name)}
    if options.statement_timeout is not None and options.startup_parameters:
        settings["statement_timeout"] = str(milliseconds(options.statement_timeout))
    return settings


def _fd(transport: Any) -> int | None:
    sock = transport.get_extra_info("socket")
    fd = -1 if sock is None else int(sock.fileno())
    return None if fd < 0 else fd
