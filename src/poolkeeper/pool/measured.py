"""SQLAlchemy's pools, able to tell their limit and how many callers are without a connection.

No pool event marks the beginning of a wait, so that count has to be taken where the call comes in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, Pool, PoolProxiedConnection, QueuePool, StaticPool

if TYPE_CHECKING:
    _Base = Pool
else:
    _Base = object


class Measured(_Base):
    """Mixin for a `Pool`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A set of tokens, not a number: `+=` loses counts when threads of a sync engine meet in it.
        self._asking: set[object] = set()

    @property
    def capacity(self) -> int | None:
        """The most connections that this pool opens, or None where it knows no limit."""
        return None

    @property
    def waiting(self) -> int:
        """Calls to `connect()` that have not returned."""
        return len(self._asking)

    def connect(self) -> PoolProxiedConnection:
        token = object()
        self._asking.add(token)
        try:
            return super().connect()
        finally:
            self._asking.discard(token)


class MeasuredQueuePool(Measured, QueuePool):
    """The bounded pool of an `Engine`, for threads."""

    @property
    def capacity(self) -> int | None:
        return None if self._max_overflow < 0 else self.size() + self._max_overflow


class MeasuredAsyncQueuePool(MeasuredQueuePool, AsyncAdaptedQueuePool):
    """The bounded pool of an `AsyncEngine`."""


class MeasuredNullPool(Measured, NullPool):
    """No pool: a connection per checkout."""


class MeasuredStaticPool(Measured, StaticPool):
    """One connection for everybody: an in-memory SQLite database lives exactly as long as its connection."""

    @property
    def capacity(self) -> int | None:
        return 1
