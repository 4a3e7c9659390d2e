"""The bounds that SQLAlchemy's own pools were given."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.pool import Pool, QueuePool, SingletonThreadPool, StaticPool

from poolkeeper.pool.gated import GatedPool


class StockLimits(NamedTuple):
    """None is no limit, or not for this kind of pool. Times are seconds."""

    capacity: int | None = None
    pool_size: int | None = None
    timeout: float | None = None
    recycle: float | None = None


def limits_of(pool: Pool) -> StockLimits:
    """The bounds of a pool of SQLAlchemy's."""
    recycle = float(pool._recycle) if pool._recycle >= 0 else None
    if isinstance(pool, QueuePool):
        # A size of 0 is no limit there.
        size, overflow = pool.size(), pool._max_overflow
        capacity = None if overflow < 0 or not size else size + overflow
        return StockLimits(capacity, size, pool.timeout(), recycle)
    if isinstance(pool, GatedPool):
        return StockLimits(pool.capacity, 0, pool.timeout, None)
    if isinstance(pool, StaticPool):
        return StockLimits(1, 1, None, recycle)
    return StockLimits(None, pool.size if isinstance(pool, SingletonThreadPool) else None, None, recycle)
