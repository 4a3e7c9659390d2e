"""Why a connection could not be opened, whatever the driver made of it."""

from __future__ import annotations

import errno
import re
import socket
import ssl

from poolkeeper.drivers.codes import chain_of, own_number, own_sqlstate
from poolkeeper.errors import ConnectFailed, ConnectFailure
from poolkeeper.facts import sqlstates

_BY_SQLSTATE = {
    **dict.fromkeys(sqlstates.TOO_MANY_CONNECTIONS.value, ConnectFailure.TOO_MANY_CONNECTIONS),
    **dict.fromkeys(sqlstates.NO_SUCH_DATABASE.value, ConnectFailure.NO_SUCH_DATABASE),
    **dict.fromkeys(sqlstates.STARTING_OR_STOPPING.value, ConnectFailure.STARTING_OR_STOPPING),
}
_BY_NUMBER = {
    **dict.fromkeys(sqlstates.MYSQL_TOO_MANY_CONNECTIONS.value, ConnectFailure.TOO_MANY_CONNECTIONS),
    **dict.fromkeys(sqlstates.MYSQL_AUTHENTICATION.value, ConnectFailure.AUTHENTICATION),
    **dict.fromkeys(sqlstates.MYSQL_NO_SUCH_DATABASE.value, ConnectFailure.NO_SUCH_DATABASE),
    **dict.fromkeys(sqlstates.MYSQL_STOPPING.value, ConnectFailure.STARTING_OR_STOPPING),
    **dict.fromkeys(sqlstates.MYSQL_UNKNOWN_HOST.value, ConnectFailure.DNS),
    **dict.fromkeys(sqlstates.MYSQL_TLS.value, ConnectFailure.TLS),
    **dict.fromkeys(sqlstates.MYSQL_READ_ONLY.value, ConnectFailure.READ_ONLY),
}
_BY_ERRNO = {
    errno.ECONNREFUSED: ConnectFailure.REFUSED,
    # A missing unix socket: nobody listens.
    errno.ENOENT: ConnectFailure.REFUSED,
    errno.ETIMEDOUT: ConnectFailure.TIMEOUT,
    errno.ECONNRESET: ConnectFailure.NETWORK,
    errno.EHOSTUNREACH: ConnectFailure.NETWORK,
    errno.ENETUNREACH: ConnectFailure.NETWORK,
}
# Messages are the last resort, and only English ones: psycopg's connect errors and poolers' refusals carry no SQLSTATE
# of their own. The first that fits wins.
_BY_MESSAGE = tuple(
    (re.compile(pattern, re.IGNORECASE), failure)
    for pattern, failure in (
        (
            r"too many (connections|clients)|remaining connection slots|no more connections allowed"
            r"|max client connections",
            ConnectFailure.TOO_MANY_CONNECTIONS,
        ),
        (
            r"authentication failed|no pg_hba\.conf entry|no password supplied|not permitted to log in"
            r"|role \".*\" does not exist|no such user",
            ConnectFailure.AUTHENTICATION,
        ),
        (r"database \".*\" does not exist|no such database", ConnectFailure.NO_SUCH_DATABASE),
        (
            r"starting up|shutting down|not yet accepting connections|in recovery mode|administrator command",
            ConnectFailure.STARTING_OR_STOPPING,
        ),
        # `target_session_attrs` is not met, in the words of asyncpg and of libpq.
        (
            r"match the target attribute|session is (not )?read-only|server is (not )?in hot standby mode",
            ConnectFailure.READ_ONLY,
        ),
        (
            r"does not support SSL|SSL was required|SSL is required|rejected SSL|SSL error|certificate",
            ConnectFailure.TLS,
        ),
        # A pooler's. Another try would be told the same.
        (r"unsupported startup parameter", ConnectFailure.OTHER),
        (r"translate host name|resolve host|name resolution|name or service not known", ConnectFailure.DNS),
        (r"timeout expired|timed out|connect_timeout|query_wait_timeout|client_login_timeout", ConnectFailure.TIMEOUT),
        (r"connection refused|no such file or directory\s+is the server", ConnectFailure.REFUSED),
        (
            r"closed the connection|connection (was|is|has been) closed|connection reset|unreachable|no route to host"
            # The last is asyncpg's for a connection that broke while it looked types up.
            r"|cannot connect to server|server_login_retry|cannot switch to state",
            ConnectFailure.NETWORK,
        ),
    )
)


class PasswordError(Exception):
    """The service's own callable gave no password to connect with. `__cause__` is what it raised, if it raised."""


def classify_connect_failure(error: BaseException) -> ConnectFailure:
    """Why a connection could not be opened.

    The nearest error that says something definite decides: by its SQLSTATE or MySQL error number, then its type and
    errno, then its message. An error that is only known to be about connections counts when nothing else is found.
    """
    vague = ConnectFailure.OTHER
    for link in chain_of(error):
        if isinstance(link, ConnectFailed):
            return link.reason
        if isinstance(link, PasswordError):
            return ConnectFailure.AUTHENTICATION
        if (failure := _by_code(link) or _by_type(link) or _by_message(link)) is not None:
            return failure
        if _is_about_connections(link):
            vague = ConnectFailure.NETWORK
    return vague


def _by_code(error: BaseException) -> ConnectFailure | None:
    if (number := own_number(error)) is not None:
        return _BY_NUMBER.get(number)
    state = own_sqlstate(error)
    if state is None:
        return None
    if state[:2] in sqlstates.AUTHENTICATION_CLASS.value:
        return ConnectFailure.AUTHENTICATION
    return _BY_SQLSTATE.get(state)


def _by_type(error: BaseException) -> ConnectFailure | None:
    if isinstance(error, socket.gaierror):
        return ConnectFailure.DNS
    if isinstance(error, ssl.SSLError):
        return ConnectFailure.TLS
    if isinstance(error, TimeoutError):
        return ConnectFailure.TIMEOUT
    if isinstance(error, OSError):
        return _BY_ERRNO.get(_errno_of(error))
    return None


def _errno_of(error: OSError) -> int:
    if error.errno is not None:
        return error.errno
    # A host with several addresses: asyncio puts what each of them said into one message.
    said = re.search(r"\[Errno (\d+)\]", str(error))
    return int(said[1]) if said else 0


def _by_message(error: BaseException) -> ConnectFailure | None:
    message = str(error)
    return next((failure for pattern, failure in _BY_MESSAGE if pattern.search(message)), None)


def _is_about_connections(error: BaseException) -> bool:
    state = own_sqlstate(error) or ""
    number = own_number(error)
    return (
        isinstance(error, OSError)
        or state[:2] in sqlstates.CONNECTION_CLASS.value
        or number in sqlstates.MYSQL_CANNOT_CONNECT.value
        or number in sqlstates.MYSQL_CONNECTION_LOST.value
    )
