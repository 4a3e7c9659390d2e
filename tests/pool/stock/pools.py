"""The two pools that every test here runs on, and how to use them in the same way."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Pool, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from tests.database.stores import MARIADB, POSTGRESQL, Kind, Store, on

from poolkeeper.pool import KeeperPool

ASYNCPG = POSTGRESQL[0]
SQLITE = Kind("aiosqlite", "file")
POOLS: list[type[Pool]] = [AsyncAdaptedQueuePool, KeeperPool]
SELECT = text("SELECT 1")

on_every_driver = on(*POSTGRESQL, SQLITE, *MARIADB)
on_every_server = on(*POSTGRESQL, *MARIADB)
# SQLAlchemy never closes a detached connection of psycopg, whatever the pool.
on_all_but_psycopg = on(ASYNCPG, SQLITE, *MARIADB)
on_both_loops = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)


@dataclass
class Maker:
    """Makes engines on one pool, and disposes of them all."""

    store: Store
    pool_class: type[Pool]
    engines: list[AsyncEngine] = field(default_factory=list)

    @property
    def is_stock(self) -> bool:
        return self.pool_class is AsyncAdaptedQueuePool

    def __call__(self, url: str | None = None, **settings: Any) -> AsyncEngine:
        engine = create_async_engine(url or self.store.url, poolclass=self.pool_class, **settings)
        self.engines.append(engine)
        return engine

    def on(self, pool_class: type[Pool]) -> Maker:
        """The same for another pool; these engines are disposed of together with ours."""
        return Maker(self.store, pool_class, self.engines)

    async def close(self) -> None:
        for engine in self.engines:
            await at_rest(engine)
            if isinstance(pool := engine.pool, KeeperPool):
                counts = pool.counts()
                assert counts.opened == counts.closed_total + counts.in_use + counts.idle + counts.checking, counts
            await engine.dispose()


@contextlib.asynccontextmanager
async def holding(engine: AsyncEngine, count: int) -> AsyncIterator[list[AsyncConnection]]:
    """That many connections at once; they come back in the order in which they were taken."""
    connections = [await engine.connect() for _ in range(count)]
    yield connections
    for connection in connections:
        await connection.close()


async def driver_connection(connection: AsyncConnection) -> Any:
    """The driver's own connection: as long as it is the same object, nothing was reconnected."""
    return (await connection.get_raw_connection()).driver_connection


async def open_one(engine: AsyncEngine) -> Any:
    """Use the pool once; the driver's connection that was handed out."""
    async with engine.connect() as connection:
        await connection.execute(SELECT)
        return await driver_connection(connection)


async def until(is_so: Callable[[], bool], seconds: float = 5) -> None:
    """What a pool does in the background is soon true."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - the pool has no event to wait for
            await asyncio.sleep(0.002)


async def at_rest(engine: AsyncEngine) -> None:
    """Wait until nothing is under way in the pool's background."""
    counts = getattr(engine.pool, "counts", None)
    if counts is not None:
        await until(lambda: not counts().connecting and not counts().checking)


def kill_all(store: Store) -> None:
    """Let the server end every session of the tests."""
    store.server.end(*store.connections())


def forget_all(holders: list[Any]) -> None:
    """Drop the last references."""
    holders.clear()
    gc.collect()
