"""The last minutes of a pool, as snapshots taken at a steady pace."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Callable

from poolkeeper.model import PoolSnapshot

log = logging.getLogger("poolkeeper")


class History:
    """A ring of snapshots, `every` so many seconds, that forgets what is more than `seconds` older than the newest."""

    def __init__(self, seconds: float = 300.0, every: float = 2.0) -> None:
        self.seconds, self.every = seconds, every
        self._ring: deque[PoolSnapshot] = deque(maxlen=int(seconds / every) + 1)

    def add(self, snapshot: PoolSnapshot) -> None:
        """Keep one more. They come in the order of their `at`."""
        self._ring.append(snapshot)
        forgotten = snapshot.at - self.seconds
        while self._ring[0].at < forgotten:
            self._ring.popleft()

    def window(self) -> tuple[PoolSnapshot, ...]:
        """The snapshots, oldest first."""
        return tuple(self._ring)

    def __len__(self) -> int:
        return len(self._ring)


class Ticker:
    """Calls `act` every so many seconds on the running loop until it stops, or nobody else holds it, or the loop ends.

    A timer, not a task: a loop that ends has nothing of it to cancel. `act` must be quick. One that raises is called
    again next time, and its error is logged once until it works again.
    """

    def __init__(self, act: Callable[[], object], every: float) -> None:
        self._act, self._every = act, every
        self._timer: asyncio.TimerHandle | None = None
        self._fails = False

    def start(self) -> None:
        """Act now and then again and again. A ticker that runs already, also on another loop, begins anew."""
        self.tick()

    def stop(self) -> None:
        """Act no more. A loop that has ended meanwhile is no obstacle."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def tick(self) -> None:
        """Act once, and go on from here."""
        if self._timer is not None:
            self._timer.cancel()
        ours: weakref.ref[Ticker] = weakref.ref(self)
        self._timer = asyncio.get_running_loop().call_later(self._every, _tick, ours)
        try:
            self._act()
        except Exception:
            if not self._fails:
                log.exception("what is to be done every %g s failed; further failures are not logged", self._every)
            self._fails = True
        else:
            self._fails = False


def _tick(ticker: weakref.ref[Ticker]) -> None:
    found = ticker()
    if found is not None:
        found.tick()
