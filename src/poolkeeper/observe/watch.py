"""`poolkeeper.watch(engine)`: the same look at an engine that was made without us."""

from __future__ import annotations

import weakref

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from poolkeeper.model import PoolSnapshot
from poolkeeper.observe.pools import ObservedPool

# The engine's listeners keep what is observed alive, as long as the engine lives itself.
_watched: weakref.WeakKeyDictionary[Engine, weakref.ref[ObservedPool]] = weakref.WeakKeyDictionary()


class Watch:
    """An engine that is observed; `name` is how its pool is called."""

    def __init__(self, pool: ObservedPool, name: str) -> None:
        self.name = name
        self._pool = pool

    def snapshot(self) -> PoolSnapshot:
        """What the pool is doing now, and who holds its connections."""
        return self._pool.snapshot(self.name)


def watch(engine: AsyncEngine | Engine, name: str = "default") -> Watch:
    """Observe an engine with any pool; call it right after the engine was made.

    SQLAlchemy's own pools tell neither who waits nor for how long: `PoolSnapshot.unknown` names what cannot be told.
    What was checked out before is not seen. The engine keeps its pool, and behaves as before.
    """
    plain = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    known = _watched.get(plain)
    pool = known() if known is not None else None
    if pool is None:
        pool = ObservedPool(plain)
        _watched[plain] = weakref.ref(pool)
    return Watch(pool, name)
