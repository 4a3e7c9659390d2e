"""A commit that would lose work is refused instead of reported as success.

PostgreSQL leaves a transaction aborted after a failed statement. Where the error is swallowed, COMMIT is answered with
ROLLBACK and no error: the caller believes in work that is gone. MySQL does the same in its own way: a deadlock rolls
the whole transaction back, and what follows runs in a new one.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from poolkeeper.drivers import is_from_server, number_of
from poolkeeper.errors import CommitRefused

_ABORTED_BY = "poolkeeper.aborted_by"
_MYSQL_DEADLOCK = 1213


def refuse_lost_commits(engine: Engine) -> None:
    """Raise `CommitRefused` from every commit on this engine that the server would answer with a rollback."""
    event.listen(engine, "handle_error", _remember)
    event.listen(engine, "commit", _refuse)
    event.listen(engine, "begin", _forget)
    event.listen(engine, "rollback", _forget)
    event.listen(engine, "rollback_savepoint", _forget_savepoint)


def _remember(context: ExceptionContext) -> None:
    connection = context.connection
    if connection is None or connection.invalidated or context.is_disconnect or not connection.in_transaction():
        return
    # In autocommit each statement is its own transaction, and nothing after it is lost.
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    if _aborts(connection.dialect.name, context.original_exception):
        connection.info[_ABORTED_BY] = context.original_exception


def _aborts(dialect: str, error: BaseException) -> bool:
    if dialect == "postgresql":
        # Only what the server itself reported: an argument that the driver could not encode never reached it.
        return is_from_server(error)
    return dialect in {"mysql", "mariadb"} and number_of(error) == _MYSQL_DEADLOCK


def _refuse(connection: Connection) -> None:
    cause = None if connection.invalidated else connection.info.get(_ABORTED_BY)
    if cause is not None:
        raise CommitRefused(
            f"COMMIT refused: a statement of this transaction failed ({type(cause).__name__}) and the error was "
            "swallowed, so the database would roll everything back without an error. Let the error pass, or run the "
            "statement that may fail inside `async with session.begin_nested():`."
        ) from cause


def _forget(connection: Connection) -> None:
    if not connection.invalidated:
        connection.info.pop(_ABORTED_BY, None)


def _forget_savepoint(connection: Connection, _name: str, _context: None) -> None:
    _forget(connection)
