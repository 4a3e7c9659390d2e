"""What one host of a database says about itself: is it the primary, and how far has it come."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, exc, text

from poolkeeper.drivers import number_of, sqlstate_of
from poolkeeper.model import HostState, Place, Role
from poolkeeper.server.gtids import mariadb_place, mysql_shown, mysql_written

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
_PAGE_HEADERS = frozenset({24, 40})

# MariaDB and MySQL have some of these each. No SELECT of a variable works where it is unknown.
_REFUSE_WRITES = ("read_only", "super_read_only", "innodb_read_only")
_GTIDS = ("gtid_binlog_pos", "gtid_slave_pos", "gtid_mode", "gtid_executed")
_VARIABLES = text(
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN "
    f"({', '.join(repr(name) for name in (*_REFUSE_WRITES, *_GTIDS, 'server_id', 'wsrep_on'))})"
)
# MariaDB tells in its other form of connections without a name only.
_FOLLOWS_ON_MARIADB = text("SHOW ALL SLAVES STATUS")
_FOLLOWS = text("SHOW REPLICA STATUS")
_LAGS = ("Seconds_Behind_Master", "Seconds_Behind_Source")
_RUNS = ("Slave_IO_Running", "Slave_SQL_Running", "Replica_IO_Running", "Replica_SQL_Running")
_LEADERS = ("Master_Server_Id", "Source_Server_Id")
# No privilege to see it, or a server that is too old for the statement.
_NOT_TOLD = frozenset({1064, 1227})


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
    position, written = row.get("position"), row.get("written")
    return HostState(
        Role.REPLICA if row["in_recovery"] else Role.PRIMARY,
        at,
        None if position is None else Place.of_wal(position),
        None if written is None else Place.of_wal(_end_before(written, row["block"])),
        read_only=row["in_recovery"] or row["read_only"],
    )


def _end_before(written: int, block: int) -> int:
    """Where the record before this place ends: the place itself, unless it is just behind the header of a new page.

    A replica that has replayed everything stands before that header.
    """
    inside = written % block
    return written - inside if inside in _PAGE_HEADERS else written


def _mysql(connection: Connection) -> HostState:
    at = time.monotonic()
    variables = {str(name): str(value) for name, value in connection.execute(_VARIABLES)}
    followed = _followed(connection)
    read_only = any(variables.get(name, "OFF") != "OFF" for name in _REFUSE_WRITES)
    role = _mysql_role(variables, followed, read_only=read_only)
    # Each member of a Galera cluster counts for itself.
    is_told = bool(followed) or (followed is not None and variables.get("wsrep_on") != "ON")
    shown, written = _mysql_places(variables) if is_told else (None, None)
    followed = followed or ()
    return HostState(
        role,
        at,
        written if role is Role.PRIMARY else shown,
        written,
        lag=max((float(row[name]) for row in followed for name in _LAGS if row.get(name) is not None), default=None),
        stopped=any(row.get(name) == "No" for row in followed for name in _RUNS),
        read_only=read_only,
        server=int(variables["server_id"]) if "server_id" in variables else None,
        follows=frozenset(int(row[name]) for row in followed for name in _LEADERS if row.get(name)),
    )


def _followed(connection: Connection) -> Sequence[Mapping[Any, Any]] | None:
    """What it says about each server that it follows; None where it does not tell."""
    is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    try:
        return connection.execute(_FOLLOWS_ON_MARIADB if is_mariadb else _FOLLOWS).mappings().all()
    except exc.DBAPIError as error:
        if number_of(error) not in _NOT_TOLD:
            raise
        return None


def _mysql_role(
    variables: Mapping[str, str], followed: Sequence[Mapping[Any, Any]] | None, *, read_only: bool
) -> Role | None:
    """Some replicas say it by `read_only` alone, as Amazon Aurora's do, and members of a Galera cluster do not say."""
    if followed or read_only:
        return Role.REPLICA
    return None if followed is None or variables.get("wsrep_on") == "ON" else Role.PRIMARY


def _mysql_places(variables: Mapping[str, str]) -> tuple[Place | None, Place | None]:
    """What it shows of those that it follows, and what it has for those that follow it."""
    if "gtid_slave_pos" in variables:
        written = mariadb_place(variables["gtid_binlog_pos"])
        # Not its own ids among them: they say nothing about what it has of others.
        shown = mariadb_place(variables["gtid_slave_pos"])
        return (Place({}) if shown is None and written is not None else shown), written
    if variables.get("gtid_mode") == "ON":
        executed = variables["gtid_executed"]
        return mysql_shown(executed), mysql_written(executed)
    return None, None
