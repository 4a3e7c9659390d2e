"""What the pools of all workers of a service are doing, as its /health/db tells."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from poolkeeper.drill.client import HttpClient

# A worker is chosen by the kernel for each new connection: this many tries per worker meet all of them nearly always.
_TRIES_PER_WORKER = 4
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PoolTotals:
    """The sum over the workers that answered. `capacity` is None when their pools have no limit."""

    workers: int
    capacity: int | None
    in_use: int
    idle: int
    waiting: int

    def __str__(self) -> str:
        limit = "no limit" if self.capacity is None else self.capacity
        return f"{self.in_use} in use, {self.idle} idle, {self.waiting} waiting of {limit}"

    def as_dict(self) -> dict[str, int | None]:
        return asdict(self)


class PoolWatch:
    """Looks at the pools of a service, and remembers the most that was in use and waiting."""

    def __init__(self, address: str, workers: int = 1) -> None:
        self._address, self._workers = urlsplit(address), workers
        self._pools: dict[object, dict[str, Any]] = {}
        self.peak_in_use = 0
        self.peak_waiting = 0

    async def look(self) -> PoolTotals | None:
        """The numbers of this moment; None when the service does not tell within a second."""
        self._pools.clear()
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                for _ in range(self._workers * _TRIES_PER_WORKER):
                    if len(self._pools) == self._workers:
                        break
                    health = await self._health()
                    self._pools[health["pid"]] = health["pool"]
        except (OSError, TimeoutError, ValueError, LookupError):
            # The load counts what this means for callers; here it only means that there is nothing to show.
            pass
        return self._totals() if self._pools else None

    async def _health(self) -> dict[str, Any]:
        # A new connection each time, for that is what lets another worker answer.
        async with HttpClient(self._address.hostname or "", self._address.port or 80) as client:
            health: dict[str, Any] = json.loads((await client.request("GET", "/health/db")).body)
            return health

    def _totals(self) -> PoolTotals:
        pools = self._pools.values()
        capacities = [pool["capacity"] for pool in pools]
        capacity = None if None in capacities else sum(capacities)
        in_use, idle, waiting = (sum(pool[name] for pool in pools) for name in ("in_use", "idle", "waiting"))
        self.peak_in_use = max(self.peak_in_use, in_use)
        self.peak_waiting = max(self.peak_waiting, waiting)
        return PoolTotals(len(self._pools), capacity, in_use, idle, waiting)
