"""The pools. The only room that may touch SQLAlchemy's underscore names."""

from poolkeeper.pool.guard import Guard, guard, guard_of
from poolkeeper.pool.keeper_pool import KeeperPool
from poolkeeper.pool.measured import MeasuredQueuePool

__all__ = ["Guard", "KeeperPool", "MeasuredQueuePool", "guard", "guard_of"]
