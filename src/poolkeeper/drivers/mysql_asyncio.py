"""The asyncio drivers of MySQL: alike in all but their names and where they keep their transport."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from sqlalchemy import URL, Engine

from poolkeeper.drivers.base import ConnectOptions, own_arguments
from poolkeeper.drivers.mysql_session import (
    session_number,
    session_setting,
    timed_out,
    tls_missing,
    transaction_is_open,
)
from poolkeeper.drivers.names import fitting
from poolkeeper.drivers.orphans import forsake, release
from poolkeeper.drivers.sockets import keep_alive


@dataclass(frozen=True, slots=True)
class MysqlAsyncio:
    """What an asyncio driver of MySQL does; `module` is its name, `errors_module` where its exceptions are."""

    url: URL
    is_async: bool = True
    serialises_commands: bool = False

    module: ClassVar[str]
    errors_module: ClassVar[str]

    def connect_args(self, options: ConnectOptions) -> dict[str, Any]:
        ours = {
            "program_name": fitting(options.application_name),
            "connect_timeout": options.connect_timeout,
            "async_creator_fn": self._creator(options),
        }
        return own_arguments(self.url, options, ours)

    def attach(self, engine: Engine, options: ConnectOptions) -> None:
        """Nothing is left to do."""

    def socket_of(self, driver_connection: Any) -> int | None:
        transport = self._transport(driver_connection)
        sock = None if transport is None else transport.get_extra_info("socket")
        fd = -1 if sock is None else int(sock.fileno())
        return None if fd < 0 else fd

    def is_closed(self, driver_connection: Any) -> bool:
        transport = self._transport(driver_connection)
        return transport is None or bool(transport.is_closing())

    def abort(self, driver_connection: Any) -> None:
        # Not close(): it first sends what a silent peer never takes, and leaves whoever reads with an AttributeError.
        with contextlib.suppress(Exception):
            if (transport := self._transport(driver_connection)) is not None:
                transport.abort()

    def abandon(self, driver_connection: Any, *, keep_session: bool) -> None:
        with contextlib.suppress(Exception):
            release(self.socket_of(driver_connection), keep_session=keep_session)
            forsake(self._transport(driver_connection))
            # Their finalisers close what is still there, with a loop that is not.
            driver_connection._writer = None

    def is_in_transaction(self, driver_connection: Any) -> bool:  # noqa: ARG002
        return True

    def backend_of(self, driver_connection: Any) -> int | None:
        return session_number(driver_connection)

    def transaction_is_open(self, driver_connection: Any) -> bool | None:
        return transaction_is_open(driver_connection)

    def refuses_writes(self, driver_connection: Any) -> bool | None:  # noqa: ARG002
        return None

    @abstractmethod
    def _transport(self, driver_connection: Any) -> Any:
        """The connection's asyncio transport, None once it is closed."""

    def _refuse_plaintext(self, connection: Any, arguments: dict[str, Any]) -> None:
        # aiomysql goes on without TLS when it was told to use it and the server has none.
        transport = self._transport(connection)
        if arguments.get("ssl") and transport.get_extra_info("sslcontext") is None:
            raise import_module(self.errors_module).OperationalError(*tls_missing())

    def _creator(self, options: ConnectOptions) -> Any:
        async def connect(*args: Any, **kwargs: Any) -> Any:
            # The driver's own timeout ends with TCP; a server that accepts and never greets would hang for ever.
            try:
                async with asyncio.timeout(options.connect_timeout):
                    return await self._opened(options, args, kwargs)
            except TimeoutError as error:
                raise import_module(self.errors_module).OperationalError(*timed_out(options)) from error

        return connect

    async def _connected(self, module: Any, args: Any, kwargs: Any) -> Any:
        return await module.connect(*args, **kwargs)

    async def _opened(self, options: ConnectOptions, args: Any, kwargs: Any) -> Any:
        connection = await self._connected(import_module(self.module), args, kwargs)
        try:
            self._refuse_plaintext(connection, kwargs)
            keep_alive(self.socket_of(connection), options.tcp_keepalive)
            if (setting := session_setting(options)) is not None:
                await connection.query(setting)
        except BaseException:
            self.abort(connection)
            connection.close()
            raise
        return connection
