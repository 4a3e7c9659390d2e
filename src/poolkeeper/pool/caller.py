"""For whom the running code works, and how long that one has waited: told by whoever takes requests in."""

from __future__ import annotations

import time
from contextvars import ContextVar


class Caller:
    """Somebody who waits for one answer, from when it asked until it gets it.

    Everything that is done for it shares this one object, so that background tasks, which go on when it has its answer,
    are as patient as work that nobody waits for.
    """

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = time.monotonic()

    def answered(self) -> None:
        """The answer has begun: it waits no more."""
        self._since = None

    @property
    def waits(self) -> bool:
        return self._since is not None

    def spent(self, now: float) -> float:
        """For how many seconds it has waited, at this moment of the monotonic clock; 0 if it does not wait."""
        return 0.0 if self._since is None else now - self._since


current_caller: ContextVar[Caller | None] = ContextVar("poolkeeper_caller", default=None)


def waiting_caller() -> Caller | None:
    """Whoever waits for what the running code does; None outside requests, and when the answer has begun."""
    caller = current_caller.get()
    return caller if caller is not None and caller.waits else None
