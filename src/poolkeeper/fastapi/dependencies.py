"""The sessions of a request, as FastAPI dependencies.

Function scope is what makes them honest: FastAPI leaves the dependency after the response model was serialised and
before the response starts, so a failing COMMIT still becomes an error response, and the connection is home while a slow
client reads.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from anyio import CapacityLimiter, to_thread
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from poolkeeper.database import Database
from poolkeeper.database.cleanup import to_completion
from poolkeeper.errors import SessionAcrossStream

_OWNER = "its request"


class SessionDependencies:
    """The four dependency callables of one database. FastAPI caches by callable: one session per request for each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
        _refuse_stream(connection)
        async with self._database.session(owner=_OWNER) as session:
            yield session

    async def read(self, connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
        _refuse_stream(connection)
        async with self._database.read_session(owner=_OWNER) as session:
            yield session

    async def sync_write(self, connection: HTTPConnection) -> AsyncIterator[Session]:
        _refuse_stream(connection)
        async with (
            self._database.door.passed(),
            _ended_in_a_thread(self._database.sync_session(owner=_OWNER)) as session,
        ):
            yield session

    async def sync_read(self, connection: HTTPConnection) -> AsyncIterator[Session]:
        _refuse_stream(connection)
        reading, router = self._database.sync_read_session(owner=_OWNER), self._database.router
        elsewhere = router is not None and router.has_replica
        async with self._database.door.passed(even_shut=elsewhere), _ended_in_a_thread(reading) as session:
            yield session


@asynccontextmanager
async def _ended_in_a_thread(unit: AbstractContextManager[Session]) -> AsyncGenerator[Session]:
    """Beginning a unit of work does no I/O, ending it does.

    The end has a thread of its own: none of those that run endpoints may become free before a COMMIT is through.
    """
    session = unit.__enter__()
    try:
        yield session
    except BaseException as error:
        if not await to_completion(_end(unit, error)):
            raise
    else:
        await to_completion(_end(unit, None))


async def _end(unit: AbstractContextManager[Session], error: BaseException | None) -> bool:
    kind, traceback = (None, None) if error is None else (type(error), error.__traceback__)
    return bool(await to_thread.run_sync(unit.__exit__, kind, error, traceback, limiter=CapacityLimiter(1)))


def _refuse_stream(connection: HTTPConnection) -> None:
    """A generator endpoint runs after its dependencies have ended, with a session that is over."""
    endpoint = _endpoint(connection)
    if endpoint is None or not (inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint)):
        return
    raise SessionAcrossStream(
        f"{endpoint.__qualname__} streams, and its request's session would end before the first line is sent. Open one "
        "where the rows are read: `async with db.read_session() as session:` inside the generator, a page at a time, "
        "and never across a `yield`."
    )


def _endpoint(connection: HTTPConnection) -> Callable[..., Any] | None:
    route = connection.scope.get("route")
    endpoint = getattr(route, "endpoint", None) or connection.scope.get("endpoint")
    return inspect.unwrap(endpoint) if inspect.isroutine(endpoint) else None
