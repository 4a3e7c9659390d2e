"""SQLAlchemy's pool for threads, able to tell its limit and how many callers wait.

No pool event marks the beginning of a wait, so that count has to be taken where the call comes in.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.pool import PoolProxiedConnection, QueuePool


class MeasuredQueuePool(QueuePool):
    """The bounded pool of an `Engine`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A set of tokens, not a number: `+=` loses counts when threads meet in it.
        self._asking: set[object] = set()

    @property
    def capacity(self) -> int | None:
        """The most connections that this pool opens, or None without a limit."""
        return None if self._max_overflow < 0 else self.size() + self._max_overflow

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
