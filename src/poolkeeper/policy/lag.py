"""How far a replica is behind: from where the primary was when, as one clock of ours saw it.

A replica's own answer, the age of the last transaction that it replayed, grows while nobody writes, and compares the
clocks of two machines.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from poolkeeper.model import Place

# Looks at the primary that are closer together than this (seconds) are remembered as one.
RESOLUTION = 0.05
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Lag:
    """`seconds` since the primary was first seen with something that the replica lacks, and how many bytes (`size`).

    The replica lacks it for at least so long, and for less than the time between two looks longer. `is_known` is False
    where it lacked something before the primary was first looked at: then it may be any time. `size` is None where the
    log is not counted in bytes.
    """

    seconds: float
    size: int | None = 0
    is_known: bool = True

    @property
    def lacks(self) -> bool:
        """Whether the primary was seen with anything that the replica has not."""
        return self.size != 0


class PositionLog:
    """Where the primary was when. Times are seconds on one clock."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._positions: list[Place] = []
        self._newest: Place | None = None
        self._newest_at = 0.0

    @property
    def newest(self) -> Place | None:
        """Where the primary was last seen; None before that."""
        return self._newest

    def seen(self, position: Place, at: float) -> None:
        """The primary is at this position now. One that has gone back is another primary: all is forgotten."""
        if self._newest is not None and not position.covers(self._newest):
            self._times, self._positions = [], []
        if position != self._newest:
            self._newest, self._newest_at = position, at
        if self._positions and (position == self._positions[-1] or at - self._times[-1] < RESOLUTION):
            return
        self._times.append(at)
        self._positions.append(position)
        if len(self._times) > _REMEMBERED:
            del self._times[: _REMEMBERED // 2], self._positions[: _REMEMBERED // 2]

    def lag_of(self, replayed: Place, now: float) -> Lag | None:
        """How far a replica is behind that has replayed so much; None before the primary was seen.

        A replica that has everything has no lag, however long ago that was written.
        """
        if self._newest is None:
            return None
        if replayed.covers(self._newest):
            return Lag(0.0)
        size = self._newest.bytes_beyond(replayed)
        first_missing = bisect_left(self._positions, True, key=lambda position: not replayed.covers(position))
        if first_missing == len(self._positions):
            return Lag(now - self._newest_at, size)
        return Lag(now - self._times[first_missing], size, is_known=first_missing > 0)
