"""What errors say about connections: which one is gone, and whom else to doubt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Dialect, event, exc
from sqlalchemy.engine import ExceptionContext

from poolkeeper.drivers import Evidence, evidence_of, is_pooler_timeout
from poolkeeper.model import CloseReason
from poolkeeper.pool.record import KeeperRecord, is_read_only

if TYPE_CHECKING:
    from poolkeeper.pool.home import Home


# The connections to a host are retired together once in this time (seconds), and one by one meanwhile.
_RETIRED_FOR = 1.0
# An execution option of engines.
ON_REPLICA = "poolkeeper_on_replica"


def listen(dialect: Dialect) -> None:
    """Have the errors of this dialect's statements weighed, once."""
    if not event.contains(dialect, "handle_error", _hear):
        event.listen(dialect, "handle_error", _hear)


def weigh(home: Home | None, record: KeeperRecord | None, error: BaseException | None) -> None:
    """SQLAlchemy found a connection dead, and asks to invalidate all that are as old.

    They are asked for a sign of life before they are handed out; only where the user wants the pool invalidated (an
    `InvalidatePoolError`) are they closed unasked.
    """
    if home is None:
        return
    host = None if record is None else record.host
    if error is None or isinstance(error, exc.InvalidatePoolError):
        home.retire_all(CloseReason.INVALIDATED, host)
    else:
        home.doubt_all(host)


def _hear(context: ExceptionContext) -> None:
    connection = context.connection
    if connection is None or connection.invalidated or connection.closed:
        return
    record = getattr(connection.connection, "_connection_record", None)
    if not isinstance(record, KeeperRecord):
        return
    error = context.original_exception
    if is_read_only(error, record):
        if refuses_by_nature(connection):
            return
        _retire(record)
    elif evidence_of(error) is Evidence.GONE:
        note_disconnect(context)


def note_disconnect(context: ExceptionContext) -> None:
    """The connection is gone. So may be all others, except where a pooler had no server connection for this one."""
    context.is_disconnect = context.is_disconnect or not is_known(context)
    if is_pooler_timeout(context.original_exception):
        context.invalidate_pool_on_disconnect = False


def _retire(record: KeeperRecord) -> None:
    """Retire what leads to a host that takes no writes.

    The transaction is left to its owner; it cannot write, but it can still be rolled back.
    """
    host, now = record.host, time.monotonic()
    if now - host.refused_writes_at < _RETIRED_FOR:
        # There may be no other host. Readers need not pay for each write that is tried.
        record.retire(CloseReason.SQLSTATE)
    else:
        host.refused_writes_at = now
        record.home.retire_all(CloseReason.SQLSTATE, host)


def refuses_by_nature(connection: Connection) -> bool:
    """Whether it is said to lead to a replica, which is expected to refuse writes."""
    return bool(connection.get_execution_options().get(ON_REPLICA))


def is_known(context: ExceptionContext) -> bool:
    """Whether SQLAlchemy calls this a disconnect by itself: then a user's listener may have said that it is none."""
    connection = None if context.connection is None else context.connection.connection
    return context.dialect.is_disconnect(cast("Any", context.original_exception), connection, None)
