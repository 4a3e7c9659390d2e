"""What a server answers a caller tells the pool that it lives."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import time
from typing import Any

from poolkeeper.pool.guard import heard_from
from poolkeeper.pool.record import KeeperRecord


def note_answer(connection: Any) -> None:
    """A statement on this connection of a pool (SQLAlchemy's `PoolProxiedConnection`) was answered now.

    However long its holder keeps it, it is not silent, and need not be asked before it is handed out.
    """
    record = connection._connection_record
    if isinstance(record, KeeperRecord):
        record.heard = time.monotonic()
    elif record is not None:
        heard_from(record)
