"""What an error says about its connection, by the codes that servers send."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, exc
from sqlalchemy.ext.asyncio import create_async_engine

from poolkeeper.drivers import ConnectOptions, Evidence, driver_of, evidence_of
from poolkeeper.drivers.generic import Generic


def error_with(sqlstate: str) -> Exception:
    error = Exception("as a server reports it")
    error.sqlstate = sqlstate  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("sqlstate", ["08000", "08003", "08006", "57P01", "57P02", "57P03"])
def test_the_connection_is_gone(sqlstate: str) -> None:
    assert evidence_of(error_with(sqlstate)) is Evidence.GONE


@pytest.mark.parametrize("number", [1053, 2006, 2013])
def test_the_mysql_connection_is_gone(number: int) -> None:
    assert evidence_of(Exception(number, "as a server reports it")) is Evidence.GONE


def test_the_server_takes_no_writes() -> None:
    assert evidence_of(error_with("25006")) is Evidence.READ_ONLY
    running = "The server is running with the --{} option so it cannot execute this statement"
    assert evidence_of(Exception(1290, running.format("read-only"))) is Evidence.READ_ONLY
    assert evidence_of(Exception(1290, running.format("secure-file-priv"))) is None
    assert evidence_of(Exception(1836, "")) is Evidence.READ_ONLY


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
