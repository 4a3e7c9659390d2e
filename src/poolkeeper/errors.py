"""What can go wrong, as types. Each is an error of SQLAlchemy's own family too: existing handlers keep working."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, cast

from sqlalchemy import exc

if TYPE_CHECKING:
    from poolkeeper.model import PoolCounts


class ConnectFailure(StrEnum):
    """Why a connection could not be opened."""

    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    TLS = "tls"
    AUTHENTICATION = "authentication"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    NO_SUCH_DATABASE = "no-such-database"
    STARTING_OR_STOPPING = "starting-or-stopping"
    READ_ONLY = "read-only"
    NETWORK = "network"
    OTHER = "other"


class ConnectFailed(exc.OperationalError):
    """A connection to the database could not be opened.

    `reason` classifies it, `orig` is what the driver raised. Drivers disagree here: asyncpg lets a bare
    `ConnectionRefusedError` out, psycopg an error without an SQLSTATE. This is one type for all of them. Where one
    failure concerns many callers, each gets a copy, with the first as its `__cause__`.
    """

    def __init__(self, reason: ConnectFailure, orig: BaseException, where: str) -> None:
        super().__init__(None, None, orig, hide_parameters=True)
        self.reason = reason
        self.where = where
        self.add_detail(f"could not connect to {where}: {reason.value}")

    def __reduce__(self) -> tuple[type[ConnectFailed], tuple[ConnectFailure, BaseException, str]]:
        # A pool raises a copy for each of the callers that one failed connect concerns.
        return ConnectFailed, (self.reason, cast("BaseException", self.orig), self.where)


class CommandTimeout(exc.OperationalError):
    """The server did not answer within `command_timeout` seconds; the connection was cut off and is gone.

    Whether the statement took effect is not known. A statement that is merely slow is ended by the server first, when
    `statement_timeout` is below `command_timeout`.
    """

    def __init__(self, seconds: float, orig: BaseException) -> None:
        super().__init__(None, None, orig, hide_parameters=True, connection_invalidated=True)
        self.seconds = seconds
        self.add_detail(f"no answer from the server within command_timeout = {seconds:g} s; the connection was closed")


class CommitUnknown(exc.OperationalError):
    """COMMIT was sent and its answer was lost: whether the work was done is not known. The connection is gone.

    `__cause__` is what the driver raised; `orig` is that too, or the `CommandTimeout` that was made of it. Repeating
    the work is safe only where a second time does no harm, or where somebody looks first whether it was done.
    """

    def __init__(self, orig: BaseException) -> None:
        super().__init__(None, None, orig, hide_parameters=True, connection_invalidated=True)
        self.add_detail("COMMIT was sent and its answer was lost; whether the work was done is not known")


class CommitRefused(exc.InvalidRequestError):
    """A statement failed inside this transaction and the error was swallowed, so COMMIT would have lost the work.

    PostgreSQL answers COMMIT of such a transaction with ROLLBACK and no error. `__cause__` is the statement's error.
    """


class ConcurrentSessionUse(exc.InvalidRequestError):
    """Two tasks used one session at the same time. The connection was discarded, because its state is unknown."""


class SessionReleased(exc.InvalidRequestError):
    """A session was used after its request or its `async with` block had ended."""


class ReadOnlySession(exc.InvalidRequestError):
    """A read session was asked to write. Nothing was sent to the database."""


class SessionAcrossStream(exc.InvalidRequestError):
    """A request session was asked for by an endpoint that streams, and would end before the stream begins."""


class PoolTimeout(exc.TimeoutError):
    """No connection came within `pool_timeout` seconds of waiting, connecting and checking together.

    `counts` are the pool's numbers at that moment, and `report` tells who had its connections and what is likely to be
    the cause, where somebody explains it (a `Database` does). `__cause__` is the last error of a connect, if connects
    fail.
    """

    def __init__(self, message: str, counts: PoolCounts | None = None, report: str = "") -> None:
        # SQLAlchemy's own page about this error is the one to read.
        super().__init__(message, code="3o7r")
        self.counts = counts
        self.report = report


class PoolSaturated(PoolTimeout):
    """Refused at once, because a connection would have come too late or not at all, or too many wait already.

    `reason` is "max-waiting", "predicted-wait" or "nobody-returns" (each connection is held by a task that waits for
    another one, or has ended). `predicted_wait` is how long this caller would have waited, `retry_after` when it may be
    let in (seconds). The message of a caller that holds a connection itself says which, and what to do about it.
    """

    def __init__(
        self,
        message: str,
        counts: PoolCounts | None = None,
        report: str = "",
        *,
        reason: str = "",
        predicted_wait: float = 0.0,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message, counts, report)
        self.reason = reason
        self.predicted_wait = predicted_wait
        self.retry_after = retry_after


class PoolClosed(exc.InvalidRequestError):
    """The pool is shutting down and gives out no more connections."""

    def __init__(self, message: str = "the pool is shutting down", counts: PoolCounts | None = None) -> None:
        super().__init__(message)
        self.counts = counts
