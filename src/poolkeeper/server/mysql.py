"""What MariaDB and MySQL say about their sessions, limits and timeouts."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, exc, text

from poolkeeper.drivers import number_of
from poolkeeper.model import Ceiling, ServerFacts, ServerSession, shape_of

_MOST_SESSIONS = 1000
# How many seconds each counts in.
_TIMEOUTS = {
    "wait_timeout": 1.0,
    "lock_wait_timeout": 1.0,
    "innodb_lock_wait_timeout": 1.0,
    "idle_transaction_timeout": 1.0,
    "idle_readonly_transaction_timeout": 1.0,
    "idle_write_transaction_timeout": 1.0,
    "max_statement_time": 1.0,
    "max_execution_time": 0.001,
}
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only")
_NAMES = ("version", "max_connections", "max_user_connections", *_TIMEOUTS, *_READ_ONLY)
# Of the session: its `max_user_connections` is what holds for this account.
_VARIABLES = f"SHOW SESSION VARIABLES WHERE Variable_name IN ({', '.join(map(repr, _NAMES))})"
_CONNECTED = "SHOW GLOBAL STATUS LIKE 'Threads_connected'"

# The server's own threads have no connection. Transactions begin in the server's time zone, which need not be ours.
_SESSIONS = """
    p.ID AS id, p.USER AS user, p.HOST AS host, p.DB AS db, p.COMMAND AS command, p.STATE AS stage,
    LEFT(p.INFO, 4000) AS statement, p.ID = CONNECTION_ID() AS own, p.DB = DATABASE() AS same_database,
    p.USER = SUBSTRING_INDEX(USER(), '@', 1) AS same_user, {columns}
    FROM information_schema.PROCESSLIST AS p {join}
    WHERE p.USER NOT IN ('system user', 'event_scheduler')
    ORDER BY own DESC, p.COMMAND = 'Sleep', p.ID"""
_TRANSACTION = """
    t.trx_state AS transaction, TIMESTAMPDIFF(
        MICROSECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', 'SYSTEM')
    ) / 1e6 AS transaction_seconds"""
_NO_TRANSACTION = "NULL AS transaction, NULL AS transaction_seconds"
_WITH_TRANSACTIONS = "LEFT JOIN information_schema.INNODB_TRX AS t ON t.trx_mysql_thread_id = p.ID"
_WAITS_MARIADB = """
    r.trx_mysql_thread_id AS waiting, b.trx_mysql_thread_id AS blocking
    FROM information_schema.INNODB_LOCK_WAITS AS w
    JOIN information_schema.INNODB_TRX AS r ON r.trx_id = w.requesting_trx_id
    JOIN information_schema.INNODB_TRX AS b ON b.trx_id = w.blocking_trx_id"""
_WAITS_MYSQL = "waiting_pid AS waiting, blocking_pid AS blocking FROM sys.innodb_lock_waits"

_ACCESS_DENIED = frozenset({1044, 1142, 1227, 1356})
_NOT_THERE = frozenset({1049, 1109, 1146})

# PostgreSQL's words where they fit.
_STAGES = {
    "User sleep": "Timeout/Sleep",
    "Writing to net": "Client/ClientWrite",
    "Sending to client": "Client/ClientWrite",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What MariaDB and MySQL say differently. `bounded` is SELECT with a limit of so many seconds or milliseconds."""

    kind: str
    bounded: str
    state_seconds: str
    waits: str

    def select(self, what: str, timeout: float) -> str:
        return self.bounded.format(seconds=f"{timeout:.3f}", milliseconds=max(1, round(timeout * 1000))) + what


_MARIADB = Dialect(
    "mariadb",
    "SET STATEMENT max_statement_time = {seconds} FOR SELECT ",
    "p.TIME_MS / 1000 AS state_seconds",
    _WAITS_MARIADB,
)
_MYSQL = Dialect("mysql", "SELECT /*+ MAX_EXECUTION_TIME({milliseconds}) */ ", "p.TIME AS state_seconds", _WAITS_MYSQL)


def look(connection: Connection, statement_timeout: float) -> ServerFacts:
    """One look in three statements, and one more where a session waits for a row; at most 1000 sessions, active first.

    Without the PROCESS privilege only the account's own sessions are seen, and of those that do nothing not whether
    they are in a transaction: both count as unseen, and their state is None. InnoDB renews its list of transactions
    every 0.1 s, so one that is younger may be missing.
    """
    dialect = _MARIADB if getattr(connection.dialect, "is_mariadb", False) else _MYSQL
    variables: dict[str, str] = {row[0]: row[1] for row in connection.execute(text(_VARIABLES))}
    connected = int(connection.execute(text(_CONNECTED)).one()[1])
    rows, sees_all = _processes(connection, dialect, statement_timeout)
    blockers = _blockers(connection, dialect, statement_timeout, rows)
    sessions = tuple(_session(row, blockers, sees_all=sees_all) for row in rows if not row["own"])
    return ServerFacts(
        kind=dialect.kind,
        version=variables["version"],
        at=time.monotonic(),
        # Without the one that looks.
        ordinary=Ceiling(int(variables["max_connections"]), max(len(sessions), connected - 1)),
        role=Ceiling(int(variables["max_user_connections"]) or None, _count(rows, "same_user")),
        database=Ceiling(None, _count(rows, "same_database")),
        sessions=sessions[:_MOST_SESSIONS],
        timeouts=_timeouts(variables),
        unseen=0 if sees_all else _unseen(sessions, connected - 1),
        in_recovery=any(variables.get(name) == "ON" for name in _READ_ONLY),
    )


def _processes(connection: Connection, dialect: Dialect, timeout: float) -> tuple[Sequence[RowMapping], bool]:
    """The sessions that may be seen, and whether that is all of them."""
    try:
        return _query(connection, dialect, timeout, _TRANSACTION, _WITH_TRANSACTIONS), True
    except exc.DBAPIError as error:
        if number_of(error) not in _ACCESS_DENIED:
            raise
    return _query(connection, dialect, timeout, _NO_TRANSACTION, ""), False


def _query(connection: Connection, dialect: Dialect, timeout: float, columns: str, join: str) -> Sequence[RowMapping]:
    what = _SESSIONS.format(columns=f"{dialect.state_seconds}, {columns}", join=join)
    return connection.execute(text(dialect.select(what, timeout))).mappings().all()


def _blockers(
    connection: Connection, dialect: Dialect, timeout: float, rows: Sequence[RowMapping]
) -> Mapping[int, tuple[int, ...]]:
    """By session that waits for a row, those that have it locked; without any where that may not be seen.

    What blocks a metadata lock is not told: it takes a plugin on MariaDB, and instruments on MySQL.
    """
    found: defaultdict[int, tuple[int, ...]] = defaultdict(tuple)
    if not any(row["transaction"] == "LOCK WAIT" for row in rows):
        return found
    try:
        pairs = connection.execute(text(dialect.select(dialect.waits, timeout))).mappings().all()
    except exc.DBAPIError as error:
        if number_of(error) not in _ACCESS_DENIED | _NOT_THERE:
            raise
        return found
    for pair in pairs:
        if pair["blocking"] not in found[pair["waiting"]]:
            found[pair["waiting"]] += (int(pair["blocking"]),)
    return found


def _session(row: RowMapping, blockers: Mapping[int, tuple[int, ...]], *, sees_all: bool) -> ServerSession:
    statement = row["statement"]
    return ServerSession(
        id=int(row["id"]),
        user=row["user"],
        database=row["db"],
        client=row["host"].rpartition(":")[0] or row["host"] or None,
        state=_state(row, sees_all=sees_all),
        wait=_wait(row),
        state_seconds=_age(row["state_seconds"]),
        transaction_seconds=_age(row["transaction_seconds"]),
        blocked_by=blockers.get(int(row["id"]), ()),
        statement=shape_of(statement, strings_in_double_quotes=True) if statement else None,
    )


def _state(row: RowMapping, *, sees_all: bool) -> str | None:
    if row["command"] != "Sleep":
        return "active"
    if not sees_all:
        return None
    return "idle" if row["transaction"] is None else "idle in transaction"


def _wait(row: RowMapping) -> str | None:
    stage: str = row["stage"] or ""
    if row["command"] == "Sleep":
        return "Client/ClientRead"
    if row["transaction"] == "LOCK WAIT":
        return "Lock/row"
    if stage.startswith("Waiting for ") and stage.endswith(" lock"):
        return "Lock/metadata"
    return _STAGES.get(stage)


def _age(seconds: object) -> float | None:
    return None if seconds is None else max(0.0, float(str(seconds)))


def _count(rows: Sequence[RowMapping], which: str) -> int:
    return sum(1 for row in rows if row[which] and not row["own"])


def _unseen(sessions: Sequence[ServerSession], connected: int) -> int:
    hidden = max(0, connected - len(sessions))
    return hidden + sum(1 for session in sessions if session.state is None)


def _timeouts(variables: Mapping[str, str]) -> dict[str, float | None]:
    return {name: float(variables[name]) * unit or None for name, unit in _TIMEOUTS.items() if name in variables}
