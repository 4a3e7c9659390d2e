"""The asyncio drivers of MySQL: alike in all but their names and where they keep their transport."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from sqlalchemy import URL, Dialect, Engine

from poolkeeper.drivers.base import ConnectOptions, own_arguments
from poolkeeper.drivers.mysql_session import (
    ASK_IDLE_CUT,
    has_ended,
    idle_cut_of,
    note_end,
    note_idle_cut,
    session_number,
    session_setting,
    timed_out,
    tls_missing,
    transaction_is_open,
)
from poolkeeper.drivers.names import fitting
from poolkeeper.drivers.orphans import forsake, release
from poolkeeper.drivers.sockets import keep_alive


def _raw_of(dbapi_connection: Any) -> Any:
    found = dbapi_connection.driver_connection
    # A detached proxy knows only the adapter.
    return dbapi_connection.dbapi_connection.driver_connection if found is None else found


def _send_no_rollback_twice(dialect: Dialect) -> None:
    """A session that is closed rolls back, and then its connection once more: each costs a round trip here."""
    begin, commit, rollback = dialect.do_begin, dialect.do_commit, dialect.do_rollback

    def do_begin(dbapi_connection: Any) -> None:
        note_end(_raw_of(dbapi_connection), ended=False)
        begin(dbapi_connection)

    def do_commit(dbapi_connection: Any) -> None:
        commit(dbapi_connection)
        note_end(_raw_of(dbapi_connection))

    def do_rollback(dbapi_connection: Any) -> None:
        if not has_ended(_raw_of(dbapi_connection)):
            rollback(dbapi_connection)
            note_end(_raw_of(dbapi_connection))

    for wrapped in (do_begin, do_commit, do_rollback):
        setattr(dialect, wrapped.__name__, wrapped)


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

    def attach(self, engine: Engine, options: ConnectOptions) -> None:  # noqa: ARG002
        dialect = engine.dialect
        _send_no_rollback_twice(dialect)
        for name in ("do_close", "do_terminate"):
            setattr(dialect, name, self._leaving_nothing(getattr(dialect, name)))

    def _leaving_nothing(self, say_goodbye: Callable[[Any], None]) -> Callable[[Any], None]:
        def close(dbapi_connection: Any) -> None:
            raw = _raw_of(dbapi_connection)
            try:
                # To a peer that is gone uvloop refuses to write, with an error that SQLAlchemy does not expect.
                if not self.is_closed(raw):
                    say_goodbye(dbapi_connection)
            finally:
                raw.close()

        return close

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

    def is_in_transaction(self, driver_connection: Any) -> bool:
        return not has_ended(driver_connection)

    def backend_of(self, driver_connection: Any) -> int | None:
        return session_number(driver_connection)

    def transaction_is_open(self, driver_connection: Any) -> bool | None:
        return transaction_is_open(driver_connection)

    def refuses_writes(self, driver_connection: Any) -> bool | None:  # noqa: ARG002
        return None

    def idle_cut_of(self, driver_connection: Any) -> float | None:
        return idle_cut_of(driver_connection)

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
            # The user's own class of cursors may answer with anything.
            async with connection.cursor(import_module(f"{self.module}.cursors").Cursor) as cursor:
                await cursor.execute(ASK_IDLE_CUT)
                note_idle_cut(connection, *await cursor.fetchone())
        except BaseException:
            self.abort(connection)
            connection.close()
            raise
        return connection
