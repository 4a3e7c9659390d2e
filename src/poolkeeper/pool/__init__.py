"""The pools. The only room that may touch SQLAlchemy's underscore names."""

from poolkeeper.pool.keeper_pool import KeeperPool
from poolkeeper.pool.measured import (
    Measured,
    MeasuredAsyncQueuePool,
    MeasuredNullPool,
    MeasuredQueuePool,
    MeasuredStaticPool,
)

__all__ = [
    "KeeperPool",
    "Measured",
    "MeasuredAsyncQueuePool",
    "MeasuredNullPool",
    "MeasuredQueuePool",
    "MeasuredStaticPool",
]
