"""Reading what a driver's error says about itself, however deep it is wrapped."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts import sqlstates

_SQLSTATE_LENGTH = 5
_LOGINS_FAIL = ("server_login_retry", "server login has been failing")


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, nearest first. SQLAlchemy's wrappers are left out for what they wrap."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        orig: object = getattr(current, "orig", None)
        if isinstance(orig, BaseException):
            waiting.insert(0, orig)
        else:
            yield current
        waiting.extend(_origins(current))


def _origins(error: BaseException) -> Iterator[BaseException]:
    if error.__cause__ is not None:
        yield error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__:
        yield error.__context__


def own_sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE that this very error carries."""
    state: object = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) and len(state) == _SQLSTATE_LENGTH else None


def own_severity(error: BaseException) -> str | None:
    """How grave the PostgreSQL server called this very error, in English; None for a driver's own."""
    severity: object = getattr(
        error, "severity_en", getattr(getattr(error, "diag", None), "severity_nonlocalized", None)
    )
    return severity if isinstance(severity, str) else None


def own_number(error: BaseException) -> int | None:
    """The error number of MySQL or MariaDB that this very error carries."""
    if isinstance(error, OSError) or not error.args:
        return None
    number: object = error.args[0]
    return number if isinstance(number, int) else None


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE in an error's chain; None where the driver has none, as psycopg while it connects."""
    return next((state for link in chain_of(error) if (state := own_sqlstate(link))), None)


def ends_no_session(error: BaseException) -> bool:
    """Whether a PostgreSQL server said that the session goes on after this error."""
    return any(own_severity(link) == "ERROR" for link in chain_of(error))


def number_of(error: BaseException) -> int | None:
    """The error number of MySQL or MariaDB in an error's chain."""
    return next((number for link in chain_of(error) if (number := own_number(link)) is not None), None)


def is_from_server(error: BaseException) -> bool:
    """Whether a PostgreSQL server reported this error, and not the driver.

    asyncpg lends the SQLSTATE of its class to errors of its own too; those have no severity.
    """
    return sqlstate_of(error) is not None and all(getattr(link, "severity", "") is not None for link in chain_of(error))


def is_statement_timeout(error: BaseException) -> bool:
    """Whether the server ended a statement because it ran longer than `statement_timeout`.

    PostgreSQL has one SQLSTATE for this and for a cancel request, so its message decides, which must be in English.
    """
    if sqlstate_of(error) in sqlstates.QUERY_CANCELED.value:
        return any("statement timeout" in str(link) for link in chain_of(error))
    return number_of(error) in sqlstates.MYSQL_STATEMENT_TIMEOUT.value


def is_deadlock(error: BaseException) -> bool:
    """Whether the server ended a statement because others waited for it while it waited for them."""
    return sqlstate_of(error) in sqlstates.DEADLOCK.value or number_of(error) in sqlstates.MYSQL_DEADLOCK.value


def is_pooler_timeout(error: BaseException) -> bool:
    """Whether PgBouncer gave up waiting for a server connection (`query_wait_timeout`) before anything was sent to it.

    Its SQLSTATE is that of a broken protocol, so its message decides; asyncpg keeps only that.
    """
    return any("query_wait_timeout" in str(link) for link in chain_of(error))


def is_server_away_from_pooler(error: BaseException) -> bool:
    """Whether PgBouncer cannot log in to the server behind it, and told a client so that wanted a server connection.

    It does so before anything is sent to a server, and without another attempt for `server_login_retry`.
    """
    return any(text in str(link) for link in chain_of(error) for text in _LOGINS_FAIL)


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a lock was not to be had in time, or not at once with NOWAIT."""
    return (
        sqlstate_of(error) in sqlstates.LOCK_NOT_AVAILABLE.value
        or number_of(error) in sqlstates.MYSQL_LOCK_TIMEOUT.value
    )
