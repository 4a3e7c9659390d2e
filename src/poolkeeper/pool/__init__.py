"""The pools. The only room that may touch SQLAlchemy's underscore names."""

from poolkeeper.pool.answers import note_answer
from poolkeeper.pool.caller import Caller, current_caller
from poolkeeper.pool.evidence import ON_REPLICA
from poolkeeper.pool.gated import GatedPool
from poolkeeper.pool.guard import Guard, guard, guard_of
from poolkeeper.pool.keeper_pool import KeeperPool
from poolkeeper.pool.measured import Measured, MeasuredQueuePool
from poolkeeper.pool.observers import Register, Wait
from poolkeeper.pool.record import KeeperRecord
from poolkeeper.pool.stock import StockLimits, limits_of

__all__ = [
    "ON_REPLICA",
    "Caller",
    "GatedPool",
    "Guard",
    "KeeperPool",
    "KeeperRecord",
    "Measured",
    "MeasuredQueuePool",
    "Register",
    "StockLimits",
    "Wait",
    "current_caller",
    "guard",
    "guard_of",
    "limits_of",
    "note_answer",
]
