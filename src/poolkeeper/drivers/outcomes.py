"""What an error says about the transaction that it ended: is it certain that nothing was done, and is a second try
worth it?"""

from __future__ import annotations

from sqlalchemy import exc

from poolkeeper.drivers.codes import (
    ends_no_session,
    is_pooler_timeout,
    is_server_away_from_pooler,
    number_of,
    sqlstate_of,
)
from poolkeeper.drivers.evidence import Evidence, evidence_of
from poolkeeper.errors import CommandTimeout, CommitRefused, CommitUnknown, ConnectFailed, ConnectFailure
from poolkeeper.facts import sqlstates
from poolkeeper.model import RetryReason

# They end by themselves soon, and nothing was sent. A host that does not answer, or has no connection left, is not
# helped by being asked again.
_PASSING = frozenset(
    {
        ConnectFailure.REFUSED,
        ConnectFailure.NETWORK,
        ConnectFailure.STARTING_OR_STOPPING,
        ConnectFailure.READ_ONLY,
    }
)
_BY_STATE = {
    **dict.fromkeys(sqlstates.SERIALIZATION_FAILURE.value, RetryReason.SERIALIZATION),
    **dict.fromkeys(sqlstates.DEADLOCK.value, RetryReason.DEADLOCK),
}
_BY_NUMBER = {
    **dict.fromkeys(sqlstates.MYSQL_DEADLOCK.value, RetryReason.DEADLOCK),
    # The server rolls back the statement only, unless innodb_rollback_on_timeout is on. We roll back the rest.
    **dict.fromkeys(sqlstates.MYSQL_LOCK_TIMEOUT.value, RetryReason.LOCK_TIMEOUT),
}


def retry_reason(error: BaseException) -> RetryReason | None:
    """Why a transaction that ended with this error was certainly not applied and may well succeed when it runs again.

    None for every other error, also for one that the caller raised because of such an error: that was a decision. A
    statement without an answer for `command_timeout` is none: another would make a slow server slower.
    """
    match error:
        case CommitRefused():
            return None if error.__cause__ is None else _by_code(error.__cause__)
        case ConnectFailed():
            return RetryReason.UNREACHABLE if error.reason in _PASSING else None
        case CommitUnknown() | CommandTimeout():
            return None
        case exc.DBAPIError():
            return _of_statement(error)
        case _:
            return None


def _of_statement(error: exc.DBAPIError) -> RetryReason | None:
    if (reason := _by_code(error)) is not None:
        return reason
    if evidence_of(error) is Evidence.READ_ONLY:
        return RetryReason.READ_ONLY
    if is_pooler_timeout(error):
        # It has waited for long already. Another would only lengthen the queue.
        return None
    if is_server_away_from_pooler(error):
        return RetryReason.UNREACHABLE
    return RetryReason.DISCONNECT if error.connection_invalidated else None


def _by_code(error: BaseException) -> RetryReason | None:
    # The number first: MySQL calls a deadlock a serialization failure in its SQLSTATE.
    return _BY_NUMBER.get(number_of(error) or 0) or _BY_STATE.get(sqlstate_of(error) or "")


def leaves_commit_open(dialect: str, error: BaseException) -> bool:
    """Whether this error, in answer to a COMMIT that was sent, leaves open what became of the transaction.

    A PostgreSQL server that goes on after its error has rolled back. With one that ends the session it may have
    committed just before. SQLite commits in this process, or not at all.
    """
    if dialect == "postgresql":
        return not ends_no_session(error) or sqlstate_of(error) in sqlstates.OUTCOME_UNKNOWN.value
    if dialect in {"mysql", "mariadb"}:
        return number_of(error) not in sqlstates.MYSQL_COMMIT_ROLLED_BACK.value
    return False
