"""What looks at a database's pools while it is started: explanation, log and telemetry."""

from __future__ import annotations

import math
from collections.abc import Callable

from poolkeeper.database.engines import Engines
from poolkeeper.database.explaining import Explaining, sampler_for
from poolkeeper.database.telemetry import Telemetry
from poolkeeper.model import PoolSnapshot, ReplicaView
from poolkeeper.observe import Journal
from poolkeeper.observe.incidents import Thresholds
from poolkeeper.settings import EffectiveSettings


class Watchers:
    """They hear of the pools that `engines` makes from now on, and look by themselves from `start()` to `stop()`."""

    def __init__(
        self,
        name: str,
        settings: EffectiveSettings,
        engines: Engines,
        snapshot: Callable[[], PoolSnapshot],
        replicas: Callable[[], tuple[ReplicaView, ...]],
    ) -> None:
        sampler = sampler_for(settings, engines.unpooled)
        self.explaining = Explaining(snapshot, sampler, replicas, unasked=settings.look_at_server)
        self._engines = engines
        self._journal = Journal(name, snapshot, Thresholds(slow_hold=settings.slow_hold or math.inf))
        self._telemetry = Telemetry(name, snapshot)
        engines.reporter, engines.journal = self.explaining.report, self._journal
        engines.times = self._telemetry.times

    def call(self, name: str) -> None:
        """Tell of the database under this name from now on."""
        self._journal.name = self._telemetry.name = name

    def start(self) -> None:
        """Begin to look, on the running event loop."""
        self._engines.watch_loop()
        self.explaining.start()
        self._journal.start()
        self._telemetry.start()
        self._engines.pooler.start()
        self._engines.tell_times()

    async def stop(self) -> None:
        """End that, and a look at the server that is under way. Safe to call twice."""
        self._journal.stop()
        self._telemetry.stop()
        self._engines.forget_loop()
        await self._engines.pooler.stop()
        await self.explaining.stop()
