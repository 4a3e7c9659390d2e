"""How many pools of this process lead to the same database: one is meant, and an engine per request makes many."""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from typing import Protocol

from sqlalchemy import Engine

from poolkeeper.model import PoolCounts, Pools


class LivePool(Protocol):
    """An observed pool."""

    engine: Engine

    def counts(self) -> PoolCounts: ...


_live: weakref.WeakSet[LivePool] = weakref.WeakSet()
_lock = threading.Lock()


def add(pool: LivePool) -> None:
    """Count it as long as it lives."""
    with _lock:
        _live.add(pool)


def pools_beside(pool: LivePool) -> Pools:
    """All pools with the URL of this one. Whoever has neither connections nor callers is left out."""
    with _lock:
        live = list(_live)
    url = pool.engine.url
    found = [counts for one in live if one.engine.url == url and (counts := _counts_if_used(one)) is not None]
    limits = [counts.capacity for counts in found if counts.capacity is not None]
    return Pools(
        count=max(1, len(found)),
        open=sum(map(_open, found)),
        capacity=sum(limits) if len(limits) == len(found) else None,
    )


def _counts_if_used(pool: LivePool) -> PoolCounts | None:
    # One that works in another thread may change while it is counted.
    with suppress(RuntimeError):
        counts = pool.counts()
        if _open(counts) or counts.connecting or counts.waiting:
            return counts
    return None


def _open(counts: PoolCounts) -> int:
    return counts.in_use + counts.idle + counts.checking
