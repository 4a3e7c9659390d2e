"""Stock, asyncpg.Pool, psycopg_pool and KeeperPool behind one face, for the benchmarks that break things."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import psycopg
import psycopg_pool
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from poolkeeper.pool import KeeperPool

Run = Callable[[str], Awaitable[Any]]

GUIDE = {"max_overflow": 0, "pool_recycle": 3600, "pool_pre_ping": True}
_GOODBYE_LIMIT = 3.0


@dataclass
class Pool:
    """`connection()` is one caller's turn: it gives what runs a statement.

    `take` and `give_back` are the same by hand. `connects` are the moments when they began; each sleeps
    `connect_delay` seconds first.
    """

    connection: Callable[[], AbstractAsyncContextManager[Run]]
    take: Callable[[], Awaitable[Any]]
    give_back: Callable[[Any], Awaitable[None]]
    connects: list[float] = field(default_factory=list)
    connect_delay: float = 0.0
    own_engine: AsyncEngine | None = None

    @property
    def engine(self) -> AsyncEngine:
        assert self.own_engine is not None, "not one of SQLAlchemy's pools"
        return self.own_engine

    async def connecting(self) -> None:
        """Called by each connect."""
        self.connects.append(time.perf_counter())
        if self.connect_delay:
            await asyncio.sleep(self.connect_delay)

    async def request(self) -> None:
        """What a caller does: one statement on a connection of the pool."""
        async with self.connection() as run:
            await run("SELECT 1")

    async def open_together(self, size: int) -> None:
        """Have `size` connections open and idle."""
        everybody_holds = asyncio.Barrier(size)

        async def hold() -> None:
            async with self.connection() as run:
                await run("SELECT 1")
                await everybody_holds.wait()

        await asyncio.gather(*(hold() for _ in range(size)))


Make = Callable[..., AbstractAsyncContextManager[Pool]]


def _taking(engine: AsyncEngine) -> Callable[[], Awaitable[Any]]:
    async def take() -> Any:
        return await engine.connect()

    return take


async def _closing(connection: Any) -> None:
    await connection.close()


@asynccontextmanager
async def engine_pool(url: str, **options: Any) -> AsyncGenerator[Pool, None]:
    """Any engine with an asyncio driver."""
    async with engine_of(create_async_engine(url, **options)) as pool:
        yield pool


@asynccontextmanager
async def engine_of(engine: AsyncEngine) -> AsyncGenerator[Pool, None]:
    """An engine that was made elsewhere. It is disposed of at the end."""

    @asynccontextmanager
    async def connection() -> AsyncGenerator[Run, None]:
        async with engine.connect() as held:
            yield held.exec_driver_sql

    pool = Pool(connection, _taking(engine), _closing, own_engine=engine)
    event.listen(engine.sync_engine, "do_connect", lambda *_: await_only(pool.connecting()))
    try:
        yield pool
    finally:
        await _say_goodbye(engine.dispose())


def stock(url: str, **options: Any) -> AbstractAsyncContextManager[Pool]:
    """As the guides configure it, but for `options`."""
    return engine_pool(url, **(GUIDE | options))


def keeper(url: str, **options: Any) -> AbstractAsyncContextManager[Pool]:
    """With the arguments of the stock pool, and its own defaults for everything else."""
    return engine_pool(url, **(GUIDE | {"poolclass": KeeperPool} | options))


def keeper_pool_of(pool: Pool) -> KeeperPool:
    found = pool.engine.sync_engine.pool
    assert isinstance(found, KeeperPool), found
    return found


@asynccontextmanager
async def of_asyncpg(
    url: str, *, pool_size: int, pool_timeout: float, min_size: int = 0, resets: bool = True
) -> AsyncGenerator[Pool, None]:
    """`resets`: as usual, with a round trip when a connection comes home."""

    async def connect(*args: Any, **kwargs: Any) -> Any:
        await pool.connecting()
        return await asyncpg.connect(*args, **kwargs)

    @asynccontextmanager
    async def connection() -> AsyncGenerator[Run, None]:
        async with theirs.acquire(timeout=pool_timeout) as held:
            yield held.execute

    async def take() -> Any:
        return await theirs.acquire(timeout=pool_timeout)

    async def give_back(held: Any) -> None:
        await theirs.release(held)

    pool = Pool(connection, take, give_back)
    reset = None if resets else _nothing
    theirs = await asyncpg.create_pool(_dsn(url), min_size=min_size, max_size=pool_size, connect=connect, reset=reset)
    try:
        yield pool
    finally:
        await _say_goodbye(theirs.close())
        theirs.terminate()


@asynccontextmanager
async def of_psycopg(
    url: str, *, pool_size: int, pool_timeout: float, min_size: int | None = None, check: bool = True
) -> AsyncGenerator[Pool, None]:
    class Connection(psycopg.AsyncConnection[Any]):
        @classmethod
        async def connect(cls, *args: Any, **kwargs: Any) -> Any:
            await pool.connecting()
            return await super().connect(*args, **kwargs)

    @asynccontextmanager
    async def connection() -> AsyncGenerator[Run, None]:
        async with theirs.connection() as held:
            yield held.execute

    # It warns of every failed connect.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)

    async def take() -> Any:
        return await theirs.getconn()

    async def give_back(held: Any) -> None:
        await theirs.putconn(held)

    pool = Pool(connection, take, give_back)
    theirs = psycopg_pool.AsyncConnectionPool(
        _dsn(url),
        connection_class=Connection,
        min_size=pool_size if min_size is None else min_size,
        max_size=pool_size,
        timeout=pool_timeout,
        check=psycopg_pool.AsyncConnectionPool.check_connection if check else None,
        open=False,
    )
    await theirs.open()
    try:
        yield pool
    finally:
        await _say_goodbye(theirs.close(timeout=1))


async def _nothing(_: Any) -> None:
    pass


async def _say_goodbye(closing: Awaitable[Any]) -> None:
    # A pool whose server is gone may take long to close, which is not what is measured.
    with suppress(Exception):
        await asyncio.wait_for(closing, _GOODBYE_LIMIT)


def _dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
