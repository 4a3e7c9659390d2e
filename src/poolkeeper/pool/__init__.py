"""The pools. The only room that may touch SQLAlchemy's underscore names."""

from poolkeeper.pool.keeper_pool import KeeperPool
from poolkeeper.pool.measured import MeasuredQueuePool

__all__ = ["KeeperPool", "MeasuredQueuePool"]
