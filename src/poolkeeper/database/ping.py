"""Ask the database for a sign of life."""

from __future__ import annotations

import asyncio
import time

from anyio import to_thread
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from poolkeeper.engine import Commands

_PING = text("SELECT 1")
_STEP = 0.05


async def ping_within(seconds: float, engine: AsyncEngine | Engine, commands: Commands) -> float:
    """`ping()`, over in `seconds` whatever the database does. Raises `TimeoutError` then."""
    task = asyncio.ensure_future(ping(engine))
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        await _end(task, commands, seconds)
    finally:
        task.cancel()
    raise TimeoutError(f"no answer to SELECT 1 within {seconds:g} s")


async def _end(task: asyncio.Task[float], commands: Commands, seconds: float) -> None:
    """End a ping at once: whatever awaits an answer is cut off with its connection, whatever awaits one is cancelled.

    That can take several steps, since the pool connects anew in place of what was cut off.
    """
    while not task.done():
        if not commands.cut_off(task, seconds):
            task.cancel()
        await asyncio.wait({task}, timeout=_STEP)
    # Its error is no news: reading it here keeps asyncio from reporting it as never retrieved.
    _ = task.cancelled() or task.exception()


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
