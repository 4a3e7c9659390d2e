"""The engine behind read sessions: one round trip a statement, and writes refused before any SQL is sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

from poolkeeper.database.local_settings import IN_TRANSACTION
from poolkeeper.database.read_only import why_not_read
from poolkeeper.errors import ReadOnlySession

# A single read is one round trip in the driver's autocommit and three in a transaction. On MySQL, switching autocommit
# costs round trips of its own, so a read session there is a transaction that is rolled back.
_AUTOCOMMIT_IS_FREE = frozenset({"postgresql", "sqlite"})


def make_read_only(engine: Engine, *, by_server: bool = False) -> None:
    """Make this engine read: autocommit where it costs nothing, and `ReadOnlySession` for whatever is not a read.

    With `by_server` the server refuses what cannot be seen here, such as a function that writes: each session is a READ
    ONLY transaction of PostgreSQL's. `engine` shares its pool with the engine for writing;
    `Engine.execution_options()` makes such a copy.
    """
    if by_server:
        event.listen(engine, "engine_connect", _switch_to_read_only)
    elif engine.dialect.name in _AUTOCOMMIT_IS_FREE:
        event.listen(engine, "engine_connect", _switch_to_autocommit)
    event.listen(engine, "before_cursor_execute", _refuse_writes)


def refuse_flushes(session_class: type[Session]) -> None:
    """Raise `ReadOnlySession` when a session of this class is about to write its changes."""
    event.listen(session_class, "before_flush", _refuse_flush)


def _switch_to_autocommit(connection: Connection) -> None:
    _switch(connection, isolation_level="AUTOCOMMIT")


def _switch_to_read_only(connection: Connection) -> None:
    _switch(connection, postgresql_readonly=True)


def _switch(connection: Connection, **options: Any) -> None:
    if IN_TRANSACTION in connection.get_execution_options():
        return
    # Not as an option of the engine: psycopg awaits here, and SQLAlchemy loses the connection of a checkout that is
    # cancelled at that moment to the garbage collector.
    try:
        connection.execution_options(**options)
    except BaseException:
        connection.invalidate()
        connection.close()
        raise


def _refuse_writes(_connection: Connection, _cursor: Any, statement: str, *_rest: object) -> None:
    if reason := why_not_read(statement):
        raise _refusal(reason)


def _refuse_flush(session: Session, *_rest: object) -> None:
    if session.new or session.dirty or session.deleted:
        raise _refusal(
            f"{len(session.new)} new, {len(session.dirty)} changed and {len(session.deleted)} deleted objects would be "
            "flushed"
        )


def _refusal(reason: str) -> ReadOnlySession:
    return ReadOnlySession(
        f"A read session does not write: {reason}. Nothing was sent. Use `keeper.write` or `db.session()`, or "
        "`db.engine` for a statement that only looks like a write."
    )
