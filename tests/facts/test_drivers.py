"""What is written down about drivers, against the drivers that are installed."""

from __future__ import annotations

import inspect
import re
import sqlite3
from collections.abc import Callable, Iterable

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from poolkeeper.drivers import known_drivers
from poolkeeper.facts.driver_options import DRIVER_OPTIONS, FOREIGN_OPTIONS
from poolkeeper.facts.drivers import DRIVERS, driver_kind


def parameters(function: Callable[..., object]) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "kwargs", "args"}


def sqlite_options() -> set[str]:
    # inspect.signature cannot read the default of `factory`.
    return set(re.findall(r"(?:^|, *|\n *)(\w+)(?==|,)", sqlite3.connect.__text_signature__ or "")) - {"module"}


def asyncpg_options() -> Iterable[str]:
    return parameters(pytest.importorskip("asyncpg").connect)


def psycopg_options() -> Iterable[str]:
    psycopg = pytest.importorskip("psycopg")
    return {item.keyword.decode() for item in psycopg.pq.Conninfo.get_defaults()} | parameters(
        psycopg.Connection.connect
    )


def pymysql_options() -> Iterable[str]:
    return parameters(pytest.importorskip("pymysql").connections.Connection.__init__)


def aiomysql_options() -> Iterable[str]:
    return parameters(pytest.importorskip("aiomysql").Connection.__init__)


def asyncmy_options() -> Iterable[str]:
    return parameters(pytest.importorskip("asyncmy.connection").Connection.__init__)


def aiosqlite_options() -> Iterable[str]:
    return parameters(pytest.importorskip("aiosqlite").connect) | sqlite_options()


INSTALLED = {
    "asyncpg": asyncpg_options,
    "psycopg": psycopg_options,
    "psycopg_async": psycopg_options,
    "pymysql": pymysql_options,
    "aiomysql": aiomysql_options,
    "asyncmy": asyncmy_options,
    "pysqlite": sqlite_options,
    "aiosqlite": aiosqlite_options,
}


def test_every_driver_is_compared():
    assert INSTALLED.keys() == DRIVER_OPTIONS.keys() == DRIVERS.keys()


@pytest.mark.parametrize("driver", INSTALLED)
def test_every_option_of_the_installed_driver_is_known(driver):
    assert set(INSTALLED[driver]()) - DRIVER_OPTIONS[driver].value == set()


def test_an_option_of_another_driver_is_none_of_this_one():
    for driver, foreign in FOREIGN_OPTIONS.items():
        assert foreign.keys() & DRIVER_OPTIONS[driver].value == set()


@pytest.mark.parametrize("driver", INSTALLED)
def test_sqlalchemy_agrees_which_driver_awaits(driver):
    kind = DRIVERS[driver]
    for dialect in kind.dialects:
        url = make_url(f"{dialect}+{driver}://")
        assert url.get_dialect().is_async is (kind.supports_async and not kind.supports_sync)
        if kind.supports_async:
            assert create_async_engine(url, poolclass=NullPool).dialect.driver in {driver, "psycopg_async", "psycopg"}


@pytest.mark.parametrize("is_async", [True, False])
def test_every_driver_that_engines_are_built_on_is_a_fact_and_the_other_way_round(is_async):
    facts = {
        f"{'mysql' if 'mysql' in kind.dialects else next(iter(kind.dialects))}+{kind.name}"
        for kind in DRIVERS.values()
        if (kind.supports_async if is_async else kind.supports_sync)
    }
    assert set(known_drivers(is_async=is_async)) == facts


def test_a_driver_is_known_for_its_own_dialects_only():
    assert driver_kind("postgresql", "asyncpg") is DRIVERS["asyncpg"]
    assert driver_kind("mysql", "asyncpg") is None
    assert driver_kind("postgresql", None) is None
    assert driver_kind("sqlite", None) is DRIVERS["pysqlite"]
