"""How far a replica is behind: from where the primary was when, as one clock of ours saw it.

A replica's own answer, the age of the last transaction that it replayed, grows while nobody writes, and compares the
clocks of two machines.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

# Looks at the primary that are closer together than this (seconds) are remembered as one.
RESOLUTION = 0.05
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Lag:
    """`seconds` since the primary was first seen with something that the replica lacks, and how many `size` bytes.

    The replica lacks it for at least so long, and for less than the time between two looks longer. `is_known` is False
    where it lacked something before the primary was first looked at: then it may be any time.
    """

    seconds: float
    size: int
    is_known: bool = True


class PositionLog:
    """Where the primary was when. Times are seconds on one clock, positions bytes of the write-ahead log."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._positions: list[int] = []
        self._newest: int | None = None
        self._newest_at = 0.0

    @property
    def newest(self) -> int | None:
        """Where the primary was last seen; None before that."""
        return self._newest

    def seen(self, position: int, at: float) -> None:
        """The primary is at this position now. One that has gone back is another primary: all is forgotten."""
        if self._newest is not None and position < self._newest:
            self._times, self._positions = [], []
        if position != self._newest:
            self._newest, self._newest_at = position, at
        if self._positions and (position == self._positions[-1] or at - self._times[-1] < RESOLUTION):
            return
        self._times.append(at)
        self._positions.append(position)
        if len(self._times) > _REMEMBERED:
            del self._times[: _REMEMBERED // 2], self._positions[: _REMEMBERED // 2]

    def lag_of(self, replayed: int, now: float) -> Lag | None:
        """How far a replica is behind that has replayed so much; None before the primary was seen.

        A replica that has everything has no lag, however long ago that was written.
        """
        if self._newest is None:
            return None
        if replayed >= self._newest:
            return Lag(0.0, 0)
        size = self._newest - replayed
        first_missing = bisect_right(self._positions, replayed)
        if first_missing == len(self._positions):
            return Lag(now - self._newest_at, size)
        return Lag(now - self._times[first_missing], size, is_known=first_missing > 0)
