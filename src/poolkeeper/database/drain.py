"""Wait until every connection is home; then say who was cut off, and cut them off."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from poolkeeper.database.engines import PooledEngine
from poolkeeper.observe import Checkout

log = logging.getLogger("poolkeeper")

_POLL = 0.01
# A cancelled statement is cancelled on the server too, over a connection of its own; asyncpg gives that up to 2 s.
_GRACE = 3.0


async def drain(engines: Sequence[PooledEngine], sessions_open: Callable[[], int], deadline: float, name: str) -> bool:
    """Wait up to `deadline` seconds for open sessions and connections; returns whether all came home by themselves.

    Whoever still holds a connection then is logged, and their tasks are cancelled; a connection that is still out
    after that is cut off. Cancelling the drain itself goes straight on to its caller.
    """
    if await _all_home(engines, sessions_open, deadline):
        return True
    cut_off = _open_checkouts(engines)
    now = time.monotonic()
    log.error(
        "%s: %d connections still in use %g s after shutdown began, cut off: %s",
        name,
        len(cut_off),
        deadline,
        "; ".join(str(checkout.holder(now)) for _, checkout in cut_off) or f"{sessions_open()} sessions without one",
    )
    for pool in (engine.keeper_pool for engine in engines):
        if pool is not None:
            # Who waits gets nothing any more, least of all what the others are made to give back.
            await pool.drain(0)
    for engine, checkout in cut_off:
        if checkout.task is None:
            # A thread cannot be cancelled, so there is nothing to wait for.
            engine.commands.abort(checkout.driver_connection)
        elif checkout.task is not asyncio.current_task():
            checkout.task.cancel("the database is shutting down")
    await _all_home(engines, lambda: 0, _GRACE)
    for engine, checkout in _open_checkouts(engines):
        engine.commands.abort(checkout.driver_connection)
    return False


async def _all_home(engines: Sequence[PooledEngine], sessions_open: Callable[[], int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while _open_checkouts(engines) or sessions_open():
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(_POLL)
    return True


def _open_checkouts(engines: Sequence[PooledEngine]) -> list[tuple[PooledEngine, Checkout]]:
    return [(engine, checkout) for engine in engines for checkout in engine.checkouts.open()]
