"""What a pool is doing at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from poolkeeper.model.pool_events import CloseReason


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a connection checked out.

    `route` is the path template of the request ("/orders/{order_id}"), or None outside requests. `seconds` counts
    from the checkout.
    """

    task: str
    route: str | None
    seconds: float

    def __str__(self) -> str:
        return f"{self.route or self.task} for {self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The numbers of one pool at one moment; `holders` has the longest first.

    `waiting` counts callers that asked and have no connection yet, `connecting` the connections that are being opened,
    `checking` those whose ping or close is under way. `opened` and `closed` (by reason) count since the pool was made.
    `capacity` is None for a pool without a limit (NullPool). SQLAlchemy's own pools tell only what is open and waits.
    """

    name: str
    capacity: int | None
    in_use: int
    idle: int
    waiting: int
    connecting: int = 0
    checking: int = 0
    opened: int = 0
    closed: Mapping[CloseReason, int] = field(default_factory=dict[CloseReason, int])
    holders: tuple[Holder, ...] = field(default=(), repr=False)

    @property
    def saturated(self) -> bool:
        """Every connection is in use and somebody waits."""
        return self.capacity is not None and self.in_use >= self.capacity and self.waiting > 0

    def as_dict(self) -> dict[str, object]:
        """The snapshot as plain values, for JSON."""
        return asdict(self)
