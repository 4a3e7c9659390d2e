"""What PostgreSQL says about its sessions, limits and timeouts. Needs version 13 or later."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from poolkeeper.model import Ceiling, ServerFacts, ServerSession, shape_of
from poolkeeper.server.generations import with_generations

# Statements of a look begin with this, so that the looks of other workers can be left out.
_MARK = "/* poolkeeper looks */"
_MOST_SESSIONS = 1000
_TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)
# The last is Amazon's own, see https://repost.aws/knowledge-center/rds-postgresql-error-connection-slots.
_RESERVED = ("superuser_reserved_connections", "reserved_connections", "rds.rds_superuser_reserved_connections")
_SETTINGS = ", ".join(f"'{name}'" for name in ("max_connections", *_RESERVED, *_TIMEOUTS))

# Functions only: nothing here waits for a lock, so the bound that it sets holds for all that could. `reset_val` is what
# the session began with, as every session of the service does, whatever this one sets.
_SERVER = text(
    f"""{_MARK}
    SELECT set_config('statement_timeout', CAST(:timeout AS text), true),
           set_config('application_name', coalesce(:application, current_setting('application_name')), true),
           current_setting('server_version') AS version,
           pg_is_in_recovery() AS in_recovery,
           CAST((SELECT json_object_agg(name, reset_val) FROM pg_settings WHERE name IN ({_SETTINGS})) AS text)
               AS settings
    """  # noqa: S608
)

# Whoever may not see a session's details sees NULL for its type too, but still its database and role, which background
# processes lack; the parallel workers of others are then taken for clients. `pg_locks` tells everybody who waits, so
# that `pg_blocking_pids()`, which stops the lock manager for a moment, is asked for those alone.
_SESSIONS = text(
    f"""{_MARK}
    WITH waits AS MATERIALIZED (
        SELECT pid, pg_blocking_pids(pid) AS blockers FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted) AS w
    ), seen AS (
        SELECT a.*,
               a.pid = pg_backend_pid() AS own,
               a.backend_type IS NULL AS hidden,
               coalesce(a.backend_type = 'client backend', a.datid IS NOT NULL AND a.usesysid IS NOT NULL) AS client
        FROM pg_stat_activity AS a
    )
    SELECT s.pid, s.own, s.usename, s.datname, s.state, s.client,
           coalesce(nullif(s.application_name, ''), CASE WHEN NOT s.client THEN s.backend_type END) AS application,
           coalesce(host(s.client_addr), CASE WHEN s.client_port = -1 THEN 'local' END) AS address,
           s.wait_event_type || '/' || s.wait_event AS wait,
           CAST(extract(epoch FROM clock_timestamp() - s.state_change) AS float8) AS state_seconds,
           CAST(extract(epoch FROM clock_timestamp() - s.xact_start) AS float8) AS transaction_seconds,
           CAST(extract(epoch FROM clock_timestamp() - s.backend_start) AS float8) AS session_seconds,
           waits.blockers,
           CASE WHEN NOT s.hidden THEN s.query END AS statement,
           count(*) FILTER (WHERE s.client AND NOT s.own) OVER () AS used,
           count(*) FILTER (WHERE s.client AND NOT s.own AND s.usename = session_user) OVER () AS of_role,
           count(*) FILTER (WHERE s.client AND NOT s.own AND s.datname = current_database()) OVER () AS of_database,
           count(*) FILTER (WHERE s.client AND s.hidden) OVER () AS unseen,
           (SELECT CASE WHEN NOT rolsuper THEN rolconnlimit END FROM pg_roles WHERE rolname = session_user)
               AS role_limit,
           (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_limit
    FROM seen AS s LEFT JOIN waits USING (pid)
    WHERE s.client OR s.own OR s.pid IN (SELECT unnest(blockers) FROM waits)
    ORDER BY s.own DESC, s.state IS NOT DISTINCT FROM 'idle', s.usename IS DISTINCT FROM session_user, s.pid
    LIMIT {_MOST_SESSIONS + 1}
    """  # noqa: S608
)


def look(connection: Connection, application: str | None, statement_timeout: float) -> ServerFacts:
    """One look in two statements, with at most 1000 sessions: idle ones are left out first, and still counted.

    A process that is no client is among the sessions where it blocks one; its kind is its application's name then.
    """
    bound = {"timeout": str(max(1, round(statement_timeout * 1000))), "application": application}
    server = connection.execute(_SERVER, bound).mappings().one()
    settings: dict[str, str] = json.loads(server["settings"])
    rows = connection.execute(_SESSIONS).mappings().all()
    own = rows[0]
    counts = Counts.of(own)
    facts = ServerFacts(
        kind="postgresql",
        version=server["version"],
        at=time.monotonic(),
        ordinary=Ceiling(_ordinary_limit(settings), counts.used),
        role=Ceiling(counts.role_limit, counts.of_role),
        database=Ceiling(counts.database_limit, counts.of_database),
        sessions=_sessions(rows),
        timeouts={name: _seconds(settings[name]) for name in _TIMEOUTS if name in settings},
        unseen=counts.unseen,
        in_recovery=server["in_recovery"],
        application=own["application"],
        reserved=_reserved(settings),
    )
    return with_generations(facts, own["address"])


@dataclass(frozen=True, slots=True)
class Counts:
    """What every row says about all of them."""

    used: int
    of_role: int
    of_database: int
    unseen: int
    role_limit: int | None
    database_limit: int | None

    @classmethod
    def of(cls, row: RowMapping) -> Counts:
        return cls(
            used=row["used"],
            of_role=row["of_role"],
            of_database=row["of_database"],
            unseen=row["unseen"],
            role_limit=_limit(row["role_limit"]),
            database_limit=_limit(row["database_limit"]),
        )


def _limit(number: int | None) -> int | None:
    # -1 is no limit, and the server does not hold a superuser to that of its role.
    return None if number is None or number < 0 else number


def _ordinary_limit(settings: Mapping[str, str]) -> int:
    return int(settings["max_connections"]) - _reserved(settings)


def _reserved(settings: Mapping[str, str]) -> int:
    return sum(int(settings.get(name, 0)) for name in _RESERVED)


def _seconds(milliseconds: str) -> float | None:
    return int(milliseconds) / 1000 or None


def _sessions(rows: Sequence[RowMapping]) -> tuple[ServerSession, ...]:
    return tuple(_session(row) for row in rows if not row["own"] and not (row["statement"] or "").startswith(_MARK))


def _session(row: RowMapping) -> ServerSession:
    return ServerSession(
        id=row["pid"],
        user=row["usename"],
        database=row["datname"],
        application=row["application"],
        client=row["address"],
        state=row["state"],
        wait=row["wait"],
        state_seconds=_age(row["state_seconds"]),
        transaction_seconds=_age(row["transaction_seconds"]),
        blocked_by=_blockers(row["blockers"]),
        statement=shape_of(row["statement"]) if row["statement"] else None,
        session_seconds=_age(row["session_seconds"]),
    )


def _age(seconds: float | None) -> float | None:
    # Clocks of several processors need not agree to the microsecond.
    return None if seconds is None else max(0.0, seconds)


def _blockers(pids: Any) -> tuple[int, ...]:
    # Named once for each lock; processes of a parallel query count as their leader.
    return tuple(dict.fromkeys(pids or ()))
