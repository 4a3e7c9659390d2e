"""Which drivers are known."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from sqlalchemy import URL, Dialect, exc

from poolkeeper.drivers.base import Driver
from poolkeeper.drivers.generic import Generic

_MODULES = {
    ("postgresql", "asyncpg", True): ("asyncpg", "Asyncpg"),
    ("postgresql", "psycopg", True): ("psycopg", "PsycopgAsync"),
    ("postgresql", "psycopg_async", True): ("psycopg", "PsycopgAsync"),
    ("postgresql", "psycopg", False): ("psycopg", "Psycopg"),
    ("mysql", "aiomysql", True): ("aiomysql", "Aiomysql"),
    ("mysql", "asyncmy", True): ("asyncmy", "Asyncmy"),
    ("mysql", "pymysql", False): ("pymysql", "Pymysql"),
    ("sqlite", "aiosqlite", True): ("sqlite", "Aiosqlite"),
    ("sqlite", "pysqlite", False): ("sqlite", "Pysqlite"),
}


def known_drivers(*, is_async: bool) -> tuple[str, ...]:
    """The driver names that a URL may carry for an asyncio or a blocking engine."""
    return tuple(f"{backend}+{driver}" for backend, driver, for_async in _MODULES if for_async is is_async)


def driver_for(url: URL, *, is_async: bool) -> Driver:
    """The driver that `url` names. Raises `sqlalchemy.exc.ArgumentError` with the known ones for any other."""
    backend, driver = _names(url, is_async=is_async)
    try:
        module, factory = _MODULES["mysql" if backend == "mariadb" else backend, driver, is_async]
    except KeyError:
        kind = "an asyncio" if is_async else "a blocking"
        known = ", ".join(known_drivers(is_async=is_async))
        raise exc.ArgumentError(f"{url.drivername!r} names no driver known for {kind} engine; known: {known}") from None
    create: Callable[[URL], Driver] = getattr(import_module(f"poolkeeper.drivers.{module}"), factory)
    return create(url)


def driver_of(dialect: Dialect) -> Driver:
    """The driver behind a dialect; `Generic` for one that is not known."""
    try:
        return driver_for(URL.create(f"{dialect.name}+{dialect.driver}"), is_async=dialect.is_async)
    except exc.ArgumentError:
        return Generic(is_async=dialect.is_async)


def _names(url: URL, *, is_async: bool) -> tuple[str, str]:
    backend, explicit, driver = url.drivername.partition("+")
    if explicit:
        return backend, driver
    try:
        driver = url.get_driver_name()
    except exc.NoSuchModuleError:
        return backend, ""
    return backend, "aiosqlite" if is_async and driver == "pysqlite" else driver
