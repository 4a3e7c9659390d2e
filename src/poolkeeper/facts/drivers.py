"""Which driver speaks to which database, and whether it awaits."""

from __future__ import annotations

from dataclasses import dataclass

from poolkeeper.facts.provider import MYSQL


@dataclass(frozen=True, slots=True)
class DriverKind:
    """How a driver can be used. `name` is what stands behind the plus sign of a URL."""

    name: str
    dialects: frozenset[str]
    supports_async: bool
    supports_sync: bool


_POSTGRESQL = frozenset({"postgresql"})
_SQLITE = frozenset({"sqlite"})

DRIVERS: dict[str, DriverKind] = {
    kind.name: kind
    for kind in (
        DriverKind("asyncpg", _POSTGRESQL, supports_async=True, supports_sync=False),
        DriverKind("psycopg", _POSTGRESQL, supports_async=True, supports_sync=True),
        DriverKind("psycopg_async", _POSTGRESQL, supports_async=True, supports_sync=False),
        DriverKind("aiomysql", MYSQL, supports_async=True, supports_sync=False),
        DriverKind("asyncmy", MYSQL, supports_async=True, supports_sync=False),
        DriverKind("pymysql", MYSQL, supports_async=False, supports_sync=True),
        DriverKind("aiosqlite", _SQLITE, supports_async=True, supports_sync=False),
        DriverKind("pysqlite", _SQLITE, supports_async=False, supports_sync=True),
    )
}


def driver_kind(dialect: str, driver: str | None) -> DriverKind | None:
    """What is known of a URL's driver; None where poolkeeper does not support it, or where none is named.

    `sqlite://` without a driver is the one of Python's standard library.
    """
    kind = DRIVERS.get(driver or ("pysqlite" if dialect == "sqlite" else ""))
    return kind if kind is not None and dialect in kind.dialects else None
