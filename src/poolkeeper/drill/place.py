"""Databases for a run of the reference service: one made for it, or a corner of the user's own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from poolkeeper.database import Database
from poolkeeper.settings import Dsn
from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.postgres.folder import OwnedFolder

T = TypeVar("T")

TABLE_PREFIX = "poolkeeper_demo"


class TablesLeft(RuntimeError):  # noqa: N818 - says what happened, as errors.py does
    """Tables of ours could not be dropped; the message has their prefix."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service keeps its data and its log. `url` holds the password, `shown` does not."""

    url: str = field(repr=False)
    folder: Path
    kind: str
    version: str
    prefix: str = ""

    @property
    def shown(self) -> str:
        return str(Dsn(self.url))

    @property
    def environment(self) -> Mapping[str, str]:
        """What the reference service is told beside the URL."""
        return MappingProxyType({"ORDERS_TABLE_PREFIX": self.prefix})


@contextmanager
def embedded_postgres(driver: str = "asyncpg", max_connections: int = 100) -> Generator[Place, None, None]:
    """A PostgreSQL of our own; nothing of it is left. Raises `EmbeddedPostgresError` where none can run."""
    with EmbeddedPostgres(max_connections=max_connections) as server:
        folder = server.folder / "service"
        folder.mkdir()
        yield _look_at(server.url(driver), folder)


@contextmanager
def sqlite_file() -> Generator[Place, None, None]:
    """A SQLite file in a temporary folder, which is removed at the end."""
    with closing(OwnedFolder()) as folder:
        yield _look_at(f"sqlite+aiosqlite:///{folder.path}/orders.db", folder.path)


@contextmanager
def own_database(url: str) -> Generator[Place, None, None]:
    """The user's database. All tables get a prefix that no other run has, and exactly those are dropped at the end.

    Raises what `Database` raises for a URL that it refuses, and `ConnectFailed` where nothing answers.
    """
    prefix = f"{TABLE_PREFIX}_{secrets.token_hex(3)}_"
    with closing(OwnedFolder()) as folder:
        place = _look_at(url, folder.path, prefix)
        try:
            yield place
        finally:
            drop_tables(url, prefix)


def drop_tables(url: str, prefix: str) -> list[str]:
    """Drop every table whose name begins with `prefix`, and return their names.

    Raises `TablesLeft` where that fails, and ValueError for a prefix that is none of ours.
    """
    if not prefix.startswith(TABLE_PREFIX):
        raise ValueError(f"only tables of a run of our own are dropped, not {prefix}*")

    def drop(connection: Connection) -> list[str]:
        found = MetaData()
        found.reflect(connection, only=lambda name, _: name.startswith(prefix))
        found.drop_all(connection)
        return sorted(found.tables)

    async def connect_and_drop(connection: AsyncConnection) -> list[str]:
        dropped = await connection.run_sync(drop)
        await connection.commit()
        return dropped

    try:
        return _with_connection(url, connect_and_drop)
    except SQLAlchemyError as failure:
        left = f"tables {prefix}* could not be dropped and are for you to drop"
        raise TablesLeft(f"{left}: {type(failure).__name__}") from failure


def _look_at(url: str, folder: Path, prefix: str = "") -> Place:
    async def look(connection: AsyncConnection) -> tuple[str, str]:
        dialect = connection.dialect
        kind = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
        return kind, ".".join(str(part) for part in dialect.server_version_info or ())

    kind, version = _with_connection(url, look)
    return Place(url, folder, kind, version, prefix)


def _with_connection(url: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    async def run() -> T:
        database = Database(url, pool_size=1, max_overflow=0)
        try:
            async with database.engine.connect() as connection:
                return await work(connection)
        finally:
            await database.close()

    return asyncio.run(run())
