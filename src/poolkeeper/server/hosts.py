"""What one host of a database says about itself: is it the primary, and how far has it come."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, exc, text

from poolkeeper.drivers import number_of, sqlstate_of
from poolkeeper.model import HostState, Role

# A transaction is on disk before it is reported as committed, unless `synchronous_commit` is off: then it is at least
# written into the log's buffers. A replica gets nothing that is not on disk. The block size is for `_end_before`.
_POSITIONS = text(
    """/* poolkeeper looks */
    SELECT r AS in_recovery,
           CAST(CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0' AS bigint)
               AS position,
           CAST(CASE WHEN NOT r THEN pg_current_wal_insert_lsn() END - '0/0' AS bigint) AS written,
           CAST(current_setting('wal_block_size') AS int) AS block,
           CAST(current_setting('default_transaction_read_only') AS bool) AS read_only
    FROM (SELECT pg_is_in_recovery() AS r OFFSET 0) AS host
    """
)
_ROLE = text(
    """/* poolkeeper looks */
    SELECT pg_is_in_recovery() AS in_recovery,
           CAST(current_setting('default_transaction_read_only') AS bool) AS read_only
    """
)
_REFUSED = frozenset({"0A000", "42501", "42883", "55000"})
_READ_ONLY = text("SELECT @@global.read_only")
_FOLLOWS = text("SHOW REPLICA STATUS")
_LAGS = ("Seconds_Behind_Master", "Seconds_Behind_Source")
_RUNS = (("Slave_IO_Running", "Slave_SQL_Running"), ("Replica_IO_Running", "Replica_SQL_Running"))
# No privilege to see it, or a server that is too old for the statement.
_NOT_TOLD = frozenset({1064, 1227})
_PAGE_HEADERS = frozenset({24, 40})


def look_at_host(connection: Connection) -> HostState:
    """What the host says, in one statement on PostgreSQL and two on MySQL; `connection` is in autocommit.

    What it does not tell, as some hosted PostgreSQL tells no positions, is None. Raises what the driver raises.
    """
    if connection.dialect.name == "postgresql":
        return _postgresql(connection)
    if connection.dialect.name in {"mysql", "mariadb"}:
        return _mysql(connection)
    raise exc.InvalidRequestError(f"{connection.dialect.name} has no replicas")


def _postgresql(connection: Connection) -> HostState:
    at = time.monotonic()
    try:
        row = connection.execute(_POSITIONS).mappings().one()
    except exc.DBAPIError as error:
        if sqlstate_of(error) not in _REFUSED:
            raise
        row = connection.execute(_ROLE).mappings().one()
        return HostState(_role(in_recovery=row["in_recovery"]), at, read_only=row["read_only"])
    written = row["written"]
    return HostState(
        _role(in_recovery=row["in_recovery"]),
        at,
        row["position"],
        None if written is None else _end_before(written, row["block"]),
        read_only=row["read_only"],
    )


def _role(*, in_recovery: bool) -> Role:
    return Role.REPLICA if in_recovery else Role.PRIMARY


def _end_before(written: int, block: int) -> int:
    """Where the record before this place ends: the place itself, unless it is just behind the header of a new page.

    A replica that has replayed everything stands before that header.
    """
    inside = written % block
    return written - inside if inside in _PAGE_HEADERS else written


def _mysql(connection: Connection) -> HostState:
    at = time.monotonic()
    role = Role.REPLICA if int(connection.execute(_READ_ONLY).scalar_one()) else Role.PRIMARY
    try:
        rows = connection.execute(_FOLLOWS).mappings().all()
    except exc.DBAPIError as error:
        if number_of(error) not in _NOT_TOLD:
            raise
        return HostState(role, at)
    if not rows:
        return HostState(role, at)
    status: Mapping[Any, Any] = rows[0]
    lag = next((status[name] for name in _LAGS if status.get(name) is not None), None)
    stopped = any(status.get(name) == "No" for names in _RUNS for name in names)
    return HostState(role, at, lag=None if lag is None else float(lag), stopped=stopped)
