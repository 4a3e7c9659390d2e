"""The scripted driver as SQLAlchemy wants it: a dialect and a DBAPI whose calls await inside a greenlet."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar

from sqlalchemy import URL
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from poolkeeper.testing.scripted import errors
from poolkeeper.testing.scripted.connection import ScriptedConnection

T = TypeVar("T")

# As asyncpg's dialect has it: a silent peer holds up the end of a connection for so long.
_GOODBYE_LIMIT = 2.0


class AdaptedCursor:
    """A cursor that has read its whole result."""

    arraysize = 1
    lastrowid = 0

    def __init__(self, raw: ScriptedConnection) -> None:
        self._raw = raw
        self._rows: deque[tuple[Any, ...]] = deque()
        self.description: Sequence[Sequence[Any]] | None = None
        self.rowcount = -1

    def execute(self, statement: str, parameters: Any = None) -> None:
        rows = await_only(self._raw.execute(statement, parameters))
        self._rows = deque(rows)
        self.rowcount = len(rows)
        self.description = (("answer", None, None, None, None, None, None),) if rows else None

    def executemany(self, statement: str, parameters: Sequence[Any]) -> None:
        for each in parameters:
            self.execute(statement, each)

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        return [self._rows.popleft() for _ in range(min(size or self.arraysize, len(self._rows)))]

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def close(self) -> None:
        self._rows.clear()

    def setinputsizes(self, *sizes: Any) -> None:
        """Nothing needs them."""

    async def _async_soft_close(self) -> None:
        """SQLAlchemy awaits it of every asyncio driver's cursor once the result is read."""


class AdaptedConnection:
    """What SQLAlchemy calls the DBAPI connection."""

    def __init__(self, raw: ScriptedConnection) -> None:
        self.driver_connection = raw

    def __repr__(self) -> str:
        return f"<AdaptedConnection {self.driver_connection!r}>"

    def run_async(self, fn: Callable[[ScriptedConnection], Awaitable[T]]) -> T:
        """Await something of the driver's in an event listener."""
        return await_only(fn(self.driver_connection))

    def cursor(self) -> AdaptedCursor:
        return AdaptedCursor(self.driver_connection)

    def ping(self) -> None:
        await_only(self.driver_connection.ping())

    def commit(self) -> None:
        await_only(self.driver_connection.commit())

    def rollback(self) -> None:
        await_only(self.driver_connection.rollback())

    def close(self) -> None:
        await_only(self.driver_connection.close())

    def terminate(self) -> None:
        """A goodbye that nobody can interrupt, or none outside a greenlet, as other asyncio drivers have it."""
        if not in_greenlet():
            self.driver_connection.abort()
            return
        try:
            await_only(asyncio.shield(self._close_in_time()))
        except asyncio.CancelledError:
            self.driver_connection.abort()
            raise

    async def _close_in_time(self) -> None:
        with contextlib.suppress(TimeoutError, errors.Error):
            async with asyncio.timeout(_GOODBYE_LIMIT):
                await self.driver_connection.close()


class ScriptedDBAPI(ModuleType):
    """What SQLAlchemy takes for the driver's module."""

    paramstyle = "qmark"
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def connect(self, *, async_creator_fn: Callable[[], Awaitable[ScriptedConnection]]) -> AdaptedConnection:
        return AdaptedConnection(await_only(async_creator_fn()))


class ScriptedDialect(DefaultDialect):
    """The dialect `scripted`."""

    name = "scripted"
    driver = "scripted"
    is_async = True
    has_terminate = True
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        return ScriptedDBAPI("scripted")

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:  # noqa: ARG003 - SQLAlchemy's signature
        return AsyncAdaptedQueuePool

    def get_driver_connection(self, connection: Any) -> Any:
        return connection.driver_connection

    def do_ping(self, dbapi_connection: Any) -> bool:
        dbapi_connection.ping()
        return True

    def do_terminate(self, dbapi_connection: Any) -> None:
        dbapi_connection.terminate()

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:  # noqa: ARG002 - SQLAlchemy's signature
        return isinstance(e, errors.ConnectionLostError)

    def get_isolation_level_values(self, dbapi_conn: Any) -> list[Any]:  # noqa: ARG002 - SQLAlchemy's signature
        return ["AUTOCOMMIT", "READ COMMITTED"]

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        return "AUTOCOMMIT" if dbapi_connection.driver_connection.autocommit else "READ COMMITTED"

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        dbapi_connection.driver_connection.autocommit = level == "AUTOCOMMIT"
