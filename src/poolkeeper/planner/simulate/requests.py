"""A request on its way, and the connection that it holds."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poolkeeper.planner.simulate.process import Process


class Outcome(IntEnum):
    """How one attempt ended."""

    SERVED = 0
    ABANDONED = 1
    """The client had left before the answer came."""
    REFUSED = 2
    TIMED_OUT = 3
    FAILED = 4
    """The connection was lost, none could be opened, or the process ended."""


class Request:
    """One attempt of a client, which asks `process` for a connection at its `arrival`, to `hold` it so long."""

    __slots__ = (
        "arrival",
        "attempt",
        "deadline",
        "endpoint",
        "has_left",
        "hold",
        "is_over",
        "process",
        "useful_until",
        "watched",
        "woken",
    )

    def __init__(self, arrival: float, endpoint: int, hold: float, attempt: int, process: Process) -> None:
        self.arrival = arrival
        self.endpoint = endpoint
        self.hold = hold
        self.attempt = attempt
        self.process = process
        self.deadline = 0.0
        self.useful_until = math.inf
        self.woken = -1.0
        self.watched = self.has_left = self.is_over = False


class Connection:
    """A connection of a pool. It is dead when the database has restarted since its `generation`."""

    __slots__ = ("generation", "idle_since", "request", "taken")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.taken = self.idle_since = 0.0
        self.request: Request | None = None
