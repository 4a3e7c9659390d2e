"""Database trouble as responses: 503 with problem+json (RFC 9457), one type for each kind of trouble."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from anyio import to_thread
from fastapi import FastAPI
from sqlalchemy import exc
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from poolkeeper.drivers import is_pooler_timeout, is_server_away_from_pooler, is_statement_timeout
from poolkeeper.errors import CommandTimeout, CommitUnknown, ConnectFailed, ConnectFailure, PoolClosed, PoolSaturated

_TYPE = "urn:poolkeeper:problem:"
_TRY_AGAIN_LATER = 1013  # the WebSocket close code of the same meaning (RFC 6455 registry)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told. It names the kind of trouble and never a host, a statement or a parameter.

    `retry_after` is in seconds; None where trying again soon does not help, or is not safe to suggest.
    """

    kind: str
    title: str
    retry_after: int | None = None

    def response(self) -> Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        body = {"type": _TYPE + self.kind, "title": self.title, "status": 503}
        return JSONResponse(body, status_code=503, headers=headers, media_type="application/problem+json")


_CONNECT = {
    ConnectFailure.DNS: Problem("connect-dns", "The database's host name cannot be resolved.", 5),
    ConnectFailure.REFUSED: Problem("connect-refused", "The database refuses connections.", 2),
    ConnectFailure.TIMEOUT: Problem("connect-timeout", "The database does not answer.", 5),
    ConnectFailure.TLS: Problem("connect-tls", "The database connection cannot be encrypted."),
    ConnectFailure.AUTHENTICATION: Problem("connect-authentication", "The database refuses the service's credentials."),
    ConnectFailure.TOO_MANY_CONNECTIONS: Problem(
        "connect-too-many-connections", "The database has no connection left for this service.", 5
    ),
    ConnectFailure.NO_SUCH_DATABASE: Problem("connect-no-such-database", "The database does not exist."),
    ConnectFailure.STARTING_OR_STOPPING: Problem(
        "connect-starting-or-stopping", "The database is starting or shutting down.", 2
    ),
    ConnectFailure.READ_ONLY: Problem("connect-read-only", "The database takes no writes for now.", 2),
    ConnectFailure.NETWORK: Problem("connect-network", "The database cannot be reached.", 5),
    ConnectFailure.OTHER: Problem("connect-failed", "No connection to the database could be opened.", 5),
}
_POOL_TIMEOUT = Problem("pool-timeout", "No database connection became free in time.", 1)
_POOL_SATURATED = Problem("pool-saturated", "No database connection would be free in time.", 1)
_SHUTTING_DOWN = Problem("shutting-down", "The service is shutting down.", 1)
_POOLER_TIMEOUT = Problem("pooler-timeout", "The pooler had no database connection to give in time.", 1)
_SERVER_AWAY = Problem("pooler-without-server", "The pooler cannot reach the database.", 5)
_STATEMENT_TIMEOUT = Problem("statement-timeout", "A statement took longer than the database allows.")
_COMMAND_TIMEOUT = Problem("command-timeout", "The database stopped answering; whether the work was done is not known.")
# No Retry-After: the work may have been done, and a client that repeats it would do it twice.
_COMMIT_UNKNOWN = Problem("commit-unknown", "The database did not confirm the work; whether it was done is not known.")
# Nor here: an endpoint may have committed a part of its work before.
_CONNECTION_LOST = Problem("connection-lost", "The database connection broke before the work was committed.")


def problem_of(error: BaseException) -> Problem | None:
    """What to tell a client about this error, or None when it is not trouble with reaching the database."""
    match error:
        case ConnectFailed():
            return _CONNECT[error.reason]
        case CommitUnknown():
            return _COMMIT_UNKNOWN
        case CommandTimeout():
            return _COMMAND_TIMEOUT
        case PoolSaturated():
            return replace(_POOL_SATURATED, retry_after=max(1, math.ceil(error.retry_after)))
        case exc.TimeoutError():
            return _POOL_TIMEOUT
        case PoolClosed():
            return _SHUTTING_DOWN
        case exc.DBAPIError():
            return _of_statement(error)
        case _:
            return None


def _of_statement(error: exc.DBAPIError) -> Problem | None:
    if is_pooler_timeout(error):
        return _POOLER_TIMEOUT
    if is_server_away_from_pooler(error):
        return _SERVER_AWAY
    if is_statement_timeout(error):
        return _STATEMENT_TIMEOUT
    return _CONNECTION_LOST if error.connection_invalidated else None


Handler = Callable[[Any, Any], Any]


async def respond(connection: HTTPConnection, error: Exception) -> Response | None:
    """The exception handler for all of them. The app's own handler for the error or a base class of it comes first.

    An error that is not ours to translate is raised again.
    """
    if handler := _apps_own(connection.app, error):
        return await _call(handler, connection, error)
    problem = problem_of(error)
    if problem is None:
        raise error
    if isinstance(connection, WebSocket):
        await connection.close(_TRY_AGAIN_LATER, problem.title)
        return None
    return problem.response()


_HANDLED = (exc.TimeoutError, exc.DBAPIError, PoolClosed)


def install_problems(app: FastAPI) -> None:
    """Translate database trouble into responses, wherever the app has no handler of its own."""
    for error in _HANDLED:
        app.exception_handlers.setdefault(error, cast("Any", respond))


def _apps_own(app: FastAPI, error: Exception) -> Handler | None:
    # Starlette takes the handler of the nearest class, and that is ours. An app that handles SQLAlchemyError means to
    # handle these too. A handler for Exception is the app's last resort, not its answer to a missing connection.
    for base in type(error).__mro__:
        if base is Exception:
            return None
        handler = cast("Handler | None", app.exception_handlers.get(base))
        if handler is not None and handler is not respond:
            return handler
    return None


async def _call(handler: Handler, connection: HTTPConnection, error: Exception) -> Response | None:
    if inspect.iscoroutinefunction(handler):
        result = handler(connection, error)
    else:
        result = await to_thread.run_sync(handler, connection, error)
    return cast("Response | None", await result if inspect.isawaitable(result) else result)
