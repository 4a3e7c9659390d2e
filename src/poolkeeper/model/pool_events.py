"""What a pool says about itself: its numbers, why it closed a connection, and each event as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol


class CloseReason(StrEnum):
    """Why a connection left the pool."""

    LIFETIME = "lifetime"
    IDLE = "idle"
    OVERFLOW = "overflow"
    RESIZE = "resize"
    PING = "ping"
    SOCKET = "socket"
    SQLSTATE = "sqlstate"
    RESET = "reset"
    INVALIDATED = "invalidated"
    DETACHED = "detached"
    LEAKED = "leaked"
    DISPOSED = "disposed"
    ABANDONED = "abandoned"


class RefusalReason(StrEnum):
    """Why a caller was not let in: too many wait, its wait would be too long, or it would never end."""

    MAX_WAITING = "max-waiting"
    PREDICTED_WAIT = "predicted-wait"
    NOBODY_RETURNS = "nobody-returns"


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """The numbers of one pool at one moment.

    `opened` and `closed` count since the pool was made, the others are of this moment. What was opened is in use, idle,
    being checked (`checking`: a ping is under way) or closed. `capacity` is None where there is no limit.
    """

    capacity: int | None
    in_use: int
    idle: int
    connecting: int
    checking: int
    waiting: int
    opened: int = 0
    closed: Mapping[CloseReason, int] = field(default_factory=dict[CloseReason, int])

    @property
    def closed_total(self) -> int:
        """Connections closed, for whatever reason."""
        return sum(self.closed.values())

    def __str__(self) -> str:
        return f"{self.in_use} in use, {self.idle} idle, {self.connecting} connecting, {self.waiting} waiting"


class PoolEventKind(StrEnum):
    """What happened. A request that is not served or turned away at once is waiting, in the task that made it."""

    REQUESTED = "requested"
    WAITING = "waiting"
    HANDED_OVER = "handed-over"
    RETURNED = "returned"
    TIMED_OUT = "timed-out"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CONNECT_FAILED = "connect-failed"
    CLOSED = "closed"


class PoolEvent(NamedTuple):
    """One thing that happened in a pool, at `at` on the monotonic clock.

    `seconds` says how long it took: the wait (handed over, timed out, cancelled), the hold (returned), the connect
    (connected, connect failed), the age (closed), the predicted wait (refused). `connection` tells the pool's entries
    apart; it is None where there is none. `reason` is why one was closed, or a caller refused.
    """

    kind: PoolEventKind
    at: float
    seconds: float = 0.0
    connection: object = None
    reason: CloseReason | RefusalReason | None = None
    error: BaseException | None = None


class PoolObserver(Protocol):
    """Hears every event of a pool, on the pool's event loop and within its work: it must be quick.

    The first exception of an observer is written to the log "poolkeeper.pool"; the pool goes on.
    """

    def notice(self, event: PoolEvent) -> None: ...
