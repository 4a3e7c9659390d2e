"""One look at a server of whatever kind."""

from __future__ import annotations

from sqlalchemy import Connection, Dialect, exc

from poolkeeper.model import ServerFacts
from poolkeeper.server import mysql, postgres

STATEMENT_TIMEOUT = 2.0


def look(
    connection: Connection, application: str | None, *, statement_timeout: float = STATEMENT_TIMEOUT
) -> ServerFacts:
    """What the server says now about its sessions and limits, this connection's own session left out.

    The server itself ends a statement of the look that takes longer than `statement_timeout` seconds. Where sessions
    have names, this one is called `application` until its transaction ends; None keeps its name. The connection is left
    in a transaction: the caller ends it. Raises what the driver raises, and `InvalidRequestError` for a database that
    has no server.
    """
    refuse_serverless(connection.dialect)
    if connection.dialect.name == "postgresql":
        return postgres.look(connection, application, statement_timeout)
    return mysql.look(connection, statement_timeout)


def refuse_serverless(dialect: Dialect) -> None:
    """Raise `InvalidRequestError` for a database that has no sessions, or that is not known."""
    if dialect.name not in {"postgresql", "mysql", "mariadb"}:
        raise exc.InvalidRequestError(f"{dialect.name} has no sessions to look at")
