"""What a pool is doing at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


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

    `waiting` counts callers that asked and have no connection yet, be it for lack of a free one or because theirs is
    still being opened. `capacity` is None for a pool without a limit (NullPool).
    """

    name: str
    capacity: int | None
    in_use: int
    idle: int
    waiting: int
    holders: tuple[Holder, ...] = field(default=(), repr=False)

    @property
    def saturated(self) -> bool:
        """Every connection is in use and somebody waits."""
        return self.capacity is not None and self.in_use >= self.capacity and self.waiting > 0

    def as_dict(self) -> dict[str, object]:
        """The snapshot as plain values, for JSON."""
        return asdict(self)
