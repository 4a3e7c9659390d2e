"""What PgBouncer's console says about the queue for one database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from sqlalchemy import make_url

from poolkeeper.drivers import driver_for
from poolkeeper.model import PoolerFacts

Row = dict[str, Any]
_CONSOLE = "pgbouncer"
# The console knows no transactions and no prepared statements.
_SIMPLE = {"autocommit": True, "prepare_threshold": None, "application_name": "poolkeeper"}


def console_of(url: str) -> str | None:
    """The console of the PgBouncer that this URL leads to; None where the URL names no host."""
    parsed = make_url(url)
    # The options are the driver's own: another one's are not libpq's.
    return (
        None if parsed.host is None else parsed.set(database=_CONSOLE, query={}).render_as_string(hide_password=False)
    )


def look_at_console(
    url: str, database: str, user: str | None, connected: Callable[[Any], object] = lambda _connection: None
) -> PoolerFacts | None:
    """The queue for `database` now, as its clients name it; None where no client has asked for it yet.

    Where several users have a pool for it, that of `user`; if there is none, all of them together. `url` is that of
    the console, whose database is "pgbouncer" unless the URL names one; its user must be among `stats_users` or
    `admin_users`. Blocks. `connected` hears of the connection. Raises `psycopg.Error`, and `ImportError` without
    psycopg: no other driver of ours speaks the simple protocol that the console asks for.
    """
    try:
        psycopg, rows = import_module("psycopg"), import_module("psycopg.rows")
    except ImportError as error:
        raise ImportError("psycopg is needed to read it: pip install 'psycopg[binary]'") from error
    parsed = make_url(url)
    target = parsed.set(drivername="postgresql", database=parsed.database or _CONSOLE)
    connection: Any = psycopg.connect(
        target.render_as_string(hide_password=False), row_factory=rows.dict_row, connect_timeout=2, **_SIMPLE
    )
    with contextlib.closing(connection):
        connected(connection)
        pools: list[Row] = connection.execute("SHOW POOLS").fetchall()
        databases: list[Row] = connection.execute("SHOW DATABASES").fetchall()
    return _facts(_pools_of(pools, database, user), _pool_size(databases, database))


def shut_down_console(connection: Any) -> None:
    """Cut a look at the console off; from any thread."""
    driver_for(make_url("postgresql+psycopg://"), is_async=False).abort(connection)


def _pools_of(pools: Sequence[Row], database: str, user: str | None) -> Sequence[Row]:
    of_database = [pool for pool in pools if pool["database"] == database]
    return [pool for pool in of_database if pool["user"] == user] or of_database


def _pool_size(databases: Sequence[Row], database: str) -> int | None:
    return next((int(row["pool_size"]) for row in databases if row["name"] == database and row.get("pool_size")), None)


def _facts(pools: Sequence[Row], size: int | None) -> PoolerFacts | None:
    """Columns are read by name: each version of PgBouncer has others."""
    if not pools:
        return None
    return PoolerFacts(
        waiting=sum(int(pool["cl_waiting"]) for pool in pools),
        longest_wait=max(int(pool["maxwait"]) + int(pool.get("maxwait_us") or 0) / 1e6 for pool in pools),
        active=sum(int(pool["sv_active"]) for pool in pools),
        # Every user has a pool of this size.
        pool_size=None if size is None else size * len(pools),
    )
