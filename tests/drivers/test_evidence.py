"""What an error says about its connection, by the codes that servers send."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import errors
from sqlalchemy import create_engine, exc, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from tests.servers import FreshDatabase, FreshMariaDB, MariaDB

from poolkeeper.drivers import ConnectOptions, Evidence, driver_of, evidence_of
from poolkeeper.drivers.generic import Generic
from poolkeeper.testing.postgres.replica import Replica


def error_with(sqlstate: str) -> Exception:
    error = Exception("as a server reports it")
    error.sqlstate = sqlstate  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    "sqlstate", ["08000", "08003", "08006", "57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"]
)
def test_the_connection_is_gone(sqlstate: str) -> None:
    assert evidence_of(error_with(sqlstate)) is Evidence.GONE


@pytest.mark.parametrize("number", [1053, 1927, 2006, 2013, 4031])
def test_the_mysql_connection_is_gone(number: int) -> None:
    assert evidence_of(Exception(number, "as a server reports it")) is Evidence.GONE


def test_the_server_takes_no_writes() -> None:
    assert evidence_of(error_with("25006")) is Evidence.READ_ONLY
    running = "The server is running with the --{} option so it cannot execute this statement"
    assert evidence_of(Exception(1290, running.format("read-only"))) is Evidence.READ_ONLY
    assert evidence_of(Exception(1290, running.format("secure-file-priv"))) is None
    assert evidence_of(Exception(1836, "")) is Evidence.READ_ONLY


SESSIONS_END = {
    "terminated": "SELECT pg_terminate_backend(pg_backend_pid())",
    "transaction_timeout": "SET LOCAL transaction_timeout = 50; SELECT pg_sleep(5)",
}


@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("sql", SESSIONS_END.values(), ids=SESSIONS_END)
async def test_postgresql_ends_a_session(fresh_database: FreshDatabase, driver: str, sql: str) -> None:
    assert evidence_of(await failure(fresh_database.url(driver), *sql.split("; "))) is Evidence.GONE


@pytest.mark.anyio
async def test_postgresql_ends_a_session_that_says_nothing(fresh_database: FreshDatabase) -> None:
    url = fresh_database.url("psycopg")
    idle = "SET idle_in_transaction_session_timeout = 50"
    assert evidence_of(await failure(url, idle, "SELECT 1", after=0.2)) is Evidence.GONE


@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_standby_takes_no_writes(standby: Replica, driver: str) -> None:
    error = await failure(standby.url(driver), "CREATE TABLE note (id int)")
    assert evidence_of(error) is Evidence.READ_ONLY


@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
async def test_a_killed_mariadb_session_is_gone(fresh_mariadb: FreshMariaDB, driver: str) -> None:
    assert evidence_of(await failure(fresh_mariadb.url(driver), "KILL CONNECTION_ID()", "SELECT 1")) is Evidence.GONE


@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
async def test_a_read_only_mariadb_takes_no_writes(own_mariadb: MariaDB, driver: str) -> None:
    for sql in (
        "CREATE DATABASE notes",
        "CREATE USER writer@'%' IDENTIFIED BY 'secret'",
        "GRANT ALL ON notes.* TO writer@'%'",
        "SET GLOBAL read_only = 1",
    ):
        own_mariadb.execute(sql)
    url = make_url(own_mariadb.url(driver, "notes")).set(username="writer", password="secret")
    error = await failure(url.render_as_string(hide_password=False), "CREATE TABLE note (id int)")
    assert evidence_of(error) is Evidence.READ_ONLY


def test_a_violation_of_the_protocol_may_leave_the_connection_good(fresh_database: FreshDatabase) -> None:
    engine = create_engine(fresh_database.url("psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.pgconn.prepare(b"one", b"SELECT $1::int")
        error = errors.error_from_result(raw.pgconn.exec_prepared(b"one", []))
        assert (error.sqlstate, evidence_of(error)) == ("08P01", None)
        connection.rollback()
        assert connection.execute(text("SELECT 7")).scalar_one() == 7


async def failure(url: str, *statements: str, after: float = 0) -> exc.DBAPIError:
    """The error of the last statement, `after` seconds after the one before."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        *first, last = statements
        with pytest.raises(exc.DBAPIError) as caught:
            for sql in first:
                await connection.execute(text(sql))
            await asyncio.sleep(after)
            await connection.execute(text(last))
    return caught.value


def test_evidence_is_found_below_sqlalchemys_wrapper() -> None:
    assert evidence_of(exc.OperationalError("SELECT 1", {}, error_with("57P01"))) is Evidence.GONE


@pytest.mark.parametrize("sqlstate", ["23505", "40001", "57014", "42P01", "25P02"])
def test_an_error_of_a_statement_says_nothing(sqlstate: str) -> None:
    assert evidence_of(error_with(sqlstate)) is None
    assert evidence_of(OSError(2006, "not MySQL's number")) is None


def test_the_driver_behind_a_dialect() -> None:
    assert type(driver_of(create_async_engine("sqlite+aiosqlite://").dialect)).__name__ == "Aiosqlite"
    assert type(driver_of(create_engine("sqlite://").dialect)).__name__ == "Pysqlite"
    assert (
        type(
            driver_of(
                create_engine(
                    "mysql+mysqldb://",
                    module=SimpleNamespace(paramstyle="format", version_info=(2, 2), Error=Exception),
                ).dialect
            )
        )
        is Generic
    )


class _Raw:
    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed

    def fileno(self) -> int:
        return -1

    def terminate(self) -> None:
        self.closed = True


def test_an_unknown_driver_is_asked_for_what_it_has() -> None:
    driver, raw = Generic(), _Raw()
    assert (driver.socket_of(raw), driver.is_closed(raw), driver.refuses_writes(raw)) == (None, False, None)
    driver.abort(raw)
    assert driver.is_closed(raw)
    driver.abandon(raw, keep_session=True)


def test_an_unknown_driver_that_has_nothing_is_left_alone() -> None:
    driver = Generic()
    assert (driver.socket_of(object()), driver.is_closed(object())) == (None, False)
    driver.abort(object())
    driver.abandon(object(), keep_session=False)
    assert driver.connect_args(ConnectOptions(driver_arguments={"a": 1})) == {"a": 1}
