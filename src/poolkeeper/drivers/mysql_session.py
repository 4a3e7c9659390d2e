"""What the MySQL drivers share: their session's setting, number and state, and their own connect error."""

from __future__ import annotations

from typing import Any

from poolkeeper.drivers.base import ConnectOptions, milliseconds

CANNOT_CONNECT = 2003
TLS_ERROR = 2026
# Its own, which is `interactive_timeout` for a client that calls itself interactive. A later SET GLOBAL does not change
# it.
ASK_IDLE_CUT = "SELECT @@SESSION.wait_timeout"
# SERVER_STATUS_IN_TRANS of the protocol.
_IN_TRANSACTION = 1


def session_setting(options: ConnectOptions) -> str | None:
    """One SET that gives `statement_timeout` to MariaDB (every statement) and to MySQL (read-only SELECTs only).

    Version comments pick the part a server knows: MySQL reads `/*M!` as a comment, and MariaDB skips versions
    50700-50999, which are MySQL's. Needs MariaDB 10.1.1 or MySQL 5.7.8.
    """
    if options.statement_timeout is None or not options.startup_parameters:
        return None
    limit = milliseconds(options.statement_timeout)
    return f"SET /*M!100101 max_statement_time={limit / 1000:.3f} */ /*!50708 max_execution_time={limit} */"


def note_idle_cut(connection: Any, seconds: object) -> None:
    """Keep with the connection what it answered to `ASK_IDLE_CUT`."""
    connection.poolkeeper_idle_cut = float(str(seconds))


def idle_cut_of(connection: Any) -> float | None:
    """After how many seconds of silence the server ends this session; None for one that was opened elsewhere."""
    seconds: float | None = getattr(connection, "poolkeeper_idle_cut", None)
    return seconds


def note_end(connection: Any, *, ended: bool = True) -> None:
    """Note that the server has answered a COMMIT or ROLLBACK, or that something else may follow now."""
    connection.poolkeeper_ended = connection.last_usage if ended else None


def has_ended(connection: Any) -> bool:
    """Whether nothing was sent since the server ended the last transaction, by whomever.

    An asyncio driver notes when it last made a cursor, keeps the result of its last command until the next one, and
    hears of a BEGIN.
    """
    ended = getattr(connection, "poolkeeper_ended", None)
    if ended is None or ended != connection.last_usage:
        return False
    return connection._result is None and not connection.server_status & _IN_TRANSACTION


def timed_out(options: ConnectOptions) -> tuple[int, str]:
    """The arguments of the OperationalError that MySQL drivers raise for a host that does not answer."""
    return CANNOT_CONNECT, f"no connection within connect_timeout = {options.connect_timeout:g} s"


def tls_missing() -> tuple[int, str]:
    """The arguments of the OperationalError for a server without TLS when TLS was asked for."""
    return TLS_ERROR, "SSL is required but the server does not support it"


def session_number(connection: Any) -> int:
    """The server's number of this session; its greeting told it."""
    return int(connection.thread_id())


def transaction_is_open(connection: Any) -> bool | None:
    """Whether the server has told of an open transaction. Drivers do not read what it says with a result: None then."""
    return True if connection.server_status & _IN_TRANSACTION else None
