"""One way to use all six drivers, asyncio and blocking, so that every test speaks to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from poolkeeper.drivers import ConnectOptions, Driver, driver_for
from poolkeeper.testing import EmbeddedPostgres, FaultProxy
from poolkeeper.testing.postgres.replica import Replica


@dataclass(frozen=True)
class Kind:
    """One driver and one way to use it."""

    name: str
    is_async: bool
    dialect: str

    def __str__(self) -> str:
        return f"{self.name}-{'async' if self.is_async else 'sync'}"

    @property
    def is_postgresql(self) -> bool:
        return self.dialect == "postgresql"

    def driver(self, url: str) -> Driver:
        return driver_for(make_url(url), is_async=self.is_async)


KINDS = [
    Kind("asyncpg", True, "postgresql"),
    Kind("psycopg", True, "postgresql"),
    Kind("psycopg", False, "postgresql"),
    Kind("aiomysql", True, "mysql"),
    Kind("asyncmy", True, "mysql"),
    Kind("pymysql", False, "mysql"),
]


on_both_loops = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def database(kind: Kind, request: pytest.FixtureRequest) -> Any:
    """A database of its own on a real server for this driver."""
    return request.getfixturevalue("fresh_database" if kind.is_postgresql else "fresh_mariadb")


@pytest.fixture
def server_url(kind: Kind, database: Any) -> str:
    return database.url(kind.name)


@pytest.fixture
def proxy(server_url: str) -> Iterator[FaultProxy]:
    url = make_url(server_url)
    with FaultProxy(url.host or "", url.port or 0) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def standby() -> Iterator[Replica]:
    """A server that only replays what another writes."""
    with EmbeddedPostgres() as primary:
        yield primary.add_replica()


@dataclass
class Open:
    """A connection, used the same way whether its driver blocks or not."""

    kind: Kind
    driver: Driver
    connection: Connection

    def __post_init__(self) -> None:
        self.driver_connection = self.connection.connection.driver_connection

    async def run(self, work: Callable[[Connection], Any]) -> Any:
        if self.kind.is_async:
            from sqlalchemy.util import greenlet_spawn

            return await greenlet_spawn(work, self.connection)
        return await asyncio.to_thread(work, self.connection)

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return await self.run(lambda connection: [tuple(row) for row in connection.execute(text(sql))])

    async def scalar(self, sql: str) -> Any:
        return (await self.rows(sql))[0][0]

    async def execute(self, sql: str) -> None:
        await self.run(lambda connection: connection.execute(text(sql)) and None)

    async def commit(self) -> None:
        await self.run(lambda connection: connection.commit())

    def abort(self) -> None:
        self.driver.abort(self.driver_connection)


@dataclass
class Opener:
    """Opens connections and closes them all at the end of the test."""

    kind: Kind
    opened: list[Open] = field(default_factory=list)
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def __call__(self, url: str, options: ConnectOptions | None = None) -> Open:
        options = options or ConnectOptions()
        driver = self.kind.driver(url)
        arguments = driver.connect_args(options)
        if self.kind.is_async:
            engine = create_async_engine(url, connect_args=arguments, poolclass=NullPool)
            driver.attach(engine.sync_engine, options)
            connection = await engine.connect()
            self.closers.append(connection.close)
            opened = Open(self.kind, driver, connection.sync_connection)
        else:
            blocking = create_engine(url, connect_args=arguments, poolclass=NullPool)
            driver.attach(blocking, options)
            plain = await asyncio.to_thread(blocking.connect)
            self.closers.append(lambda: asyncio.to_thread(plain.close))
            opened = Open(self.kind, driver, plain)
        self.opened.append(opened)
        return opened

    async def close(self) -> None:
        for close in self.closers:
            await close()
        self.closers.clear()


@pytest.fixture
async def connect(kind: Kind, proxy: FaultProxy) -> AsyncIterator[Opener]:
    """Closes what it opened before the proxy and the database go."""
    opener = Opener(kind)
    yield opener
    await opener.close()
