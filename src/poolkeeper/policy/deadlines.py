"""When those who wait leave, each at its own time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Container
from typing import Generic, TypeVar

W = TypeVar("W")


class Deadlines(Generic[W]):
    """The deadlines of those in `waiting`, which others change: who has left it is forgotten when it comes up.

    To add costs the same for everybody whose deadline is later than those of all others, as it is where all are equally
    patient. All times are seconds on one clock.
    """

    __slots__ = ("_heap", "_numbers", "_waiting")

    def __init__(self, waiting: Container[W]) -> None:
        self._waiting = waiting
        self._heap: list[tuple[float, int, W]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, waiter: W, deadline: float) -> None:
        if deadline < math.inf:
            heapq.heappush(self._heap, (deadline, next(self._numbers), waiter))

    def tidy(self) -> None:
        """Forget who waits no more, as far as nobody in front of it still does."""
        while self._heap and self._heap[0][2] not in self._waiting:
            heapq.heappop(self._heap)

    def due(self, now: float) -> W | None:
        """Who is to leave now, if anybody is."""
        self.tidy()
        return self._heap[0][2] if self._heap and self._heap[0][0] <= now else None

    @property
    def next(self) -> float:
        """When the next one is to leave; infinite where nobody is."""
        self.tidy()
        return self._heap[0][0] if self._heap else math.inf
