"""Counts who holds a connection, asks for another one of the same pool, and does not get it at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from poolkeeper.model import Holder, NestedCheckouts, PoolEvent, PoolEventKind
from poolkeeper.observe.checkouts import Checkouts


class NestingCount:
    """Hears of callers that begin to wait or are refused, in their own task or thread.

    `on_nested`, if given, is told at once of each that holds a connection.
    """

    def __init__(self, checkouts: Checkouts) -> None:
        self.so_far = NestedCheckouts()
        self.on_nested: Callable[[Holder], None] | None = None
        self._checkouts = checkouts
        self._lock = threading.Lock()

    def notice(self, event: PoolEvent) -> None:
        holder = self._checkouts.nesting()
        if holder is None:
            return
        if event.kind is PoolEventKind.REFUSED and event.reason is not None:
            self._add(NestedCheckouts(0, {event.reason.value: 1}, holder, event.at))
        elif self._is_full():
            self._add(NestedCheckouts(1, {}, holder, event.at))
        if self.on_nested is not None:
            self.on_nested(holder)

    def _add(self, one: NestedCheckouts) -> None:
        with self._lock:
            self.so_far += one

    def _is_full(self) -> bool:
        """Whether it has to wait for others, and not for a connect."""
        counts = self._checkouts.counts()
        return counts.capacity is not None and counts.in_use >= counts.capacity
