"""Ask the database for a sign of life."""

from __future__ import annotations

import time

from anyio import to_thread
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

_PING = text("SELECT 1")


async def ping(engine: AsyncEngine | Engine) -> float:
    """The seconds that `SELECT 1` takes on an open connection; opening one is not counted.

    Raises what the database or the pool raises. A cancellation discards the connection.
    """
    if isinstance(engine, AsyncEngine):
        return await _ping_async(engine)
    return await to_thread.run_sync(_ping_in_thread, engine, abandon_on_cancel=True)


async def _ping_async(engine: AsyncEngine) -> float:
    async with engine.connect() as connection:
        started = time.perf_counter()
        await connection.execute(_PING)
        return time.perf_counter() - started


def _ping_in_thread(engine: Engine) -> float:
    with engine.connect() as connection:
        started = time.perf_counter()
        connection.execute(_PING)
        return time.perf_counter() - started
