"""Simulated time: what happens next."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, TypeAlias

Event: TypeAlias = tuple[float, int, Callable[[Any], None], Any]


class Clock:
    """Events in the order of their times (seconds), and of their making where these are equal."""

    __slots__ = ("_made", "_to_come", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._made = 0
        self._to_come: list[Event] = []

    def at(self, when: float, do: Callable[[Any], None], what: Any) -> None:
        """Call `do(what)` at this time."""
        self._made += 1
        heappush(self._to_come, (when, self._made, do, what))

    def after(self, seconds: float, do: Callable[[Any], None], what: Any) -> None:
        """Call `do(what)` so many seconds from now."""
        self._made += 1
        heappush(self._to_come, (self.now + seconds, self._made, do, what))

    def run_until(self, when: float) -> None:
        """Let everything happen that is due by then."""
        events = self._to_come
        while events and events[0][0] <= when:
            self.now, _, do, what = heappop(events)
            do(what)

    def run_while(self, unfinished: Callable[[], int]) -> None:
        """Let things happen as long as something is unfinished."""
        events = self._to_come
        while events and unfinished():
            self.now, _, do, what = heappop(events)
            do(what)

    def withdraw(self, unwanted: Callable[[Event], bool]) -> list[Event]:
        """Take these events back; returns them in order."""
        taken = sorted(event for event in self._to_come if unwanted(event))
        if taken:
            numbers = {event[1] for event in taken}
            self._to_come[:] = [event for event in self._to_come if event[1] not in numbers]
            heapify(self._to_come)
        return taken
