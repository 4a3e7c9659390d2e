"""The sessions of a request, as FastAPI dependencies.

Function scope is what makes them honest: FastAPI leaves the dependency after the response model was serialised and
before the response starts, so a failing COMMIT still becomes an error response, and the connection is home while a slow
client reads.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from poolkeeper.database import Database
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

    def sync_write(self, connection: HTTPConnection) -> Iterator[Session]:
        _refuse_stream(connection)
        with self._database.sync_session(owner=_OWNER) as session:
            yield session

    def sync_read(self, connection: HTTPConnection) -> Iterator[Session]:
        _refuse_stream(connection)
        with self._database.sync_read_session(owner=_OWNER) as session:
            yield session


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
