"""The URL names a driver that poolkeeper knows."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts.drivers import DRIVERS, driver_kind
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case
from poolkeeper.settings.dsn import Dsn

# What a URL without a usable driver was most likely meant to be: the asyncio driver, then the blocking one.
_SUGGESTED = {
    "postgres": ("postgresql+asyncpg", "postgresql+psycopg"),
    "postgresql": ("postgresql+asyncpg", "postgresql+psycopg"),
    "mysql": ("mysql+asyncmy", "mysql+pymysql"),
    "mariadb": ("mariadb+asyncmy", "mariadb+pymysql"),
    "sqlite": ("sqlite+aiosqlite", "sqlite"),
}


def check(case: Case) -> Iterator[Finding]:
    yield from _examine("url", case.settings.url)
    for number, url in enumerate(case.settings.replica_urls):
        yield from _examine(f"replica_urls.{number}", url)


def _examine(subject: str, url: Dsn) -> Iterator[Finding]:
    if driver_kind(url.dialect, url.driver) is not None:
        return
    if url.dialect not in _SUGGESTED:
        fix = f"Use one of {', '.join(DRIVERS)}"
    else:
        first, second = (url.masked(scheme) for scheme in _SUGGESTED[url.dialect])
        fix = f"Write {first} with asyncio, or {second} without"
    if url.driver is None and url.dialect in _SUGGESTED:
        code, why = "driver-not-named", "which driver such a URL means depends on the release of SQLAlchemy"
    else:
        code, why = (
            "driver-not-supported",
            "poolkeeper bounds connects and commands in each driver's own way, and not in this one",
        )
    yield Finding(code, Severity.ERROR, subject, f"the URL begins with {url.scheme}://", why, fix, _SOURCE)


_SOURCE = "SQLAlchemy 2.1 made psycopg the default of postgresql://, 2.0 has psycopg2; postgres:// is in neither"
