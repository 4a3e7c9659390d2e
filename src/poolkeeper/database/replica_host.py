"""One replica as it runs: its pool, what is known about it, and who reads from it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from poolkeeper.database.connectivity import Connectivity
from poolkeeper.database.engines import Engines
from poolkeeper.database.host_watch import HostWatch
from poolkeeper.database.replicas import PlannedReplica
from poolkeeper.database.silence import Silence
from poolkeeper.errors import ConnectFailed
from poolkeeper.model import HostState, PoolSnapshot, ReplicaView, Standing
from poolkeeper.observe import Journal
from poolkeeper.policy import Bounds, Candidate, Lag, PositionLog, standing_of

log = logging.getLogger("poolkeeper")


class ReplicaHost:
    """Looked at by `watch`, and judged by what it says beside where its primary was (`log`).

    `news` is told what each look has found, None where it did not answer.
    """

    def __init__(
        self,
        database: Callable[[], str],
        planned: PlannedReplica,
        positions: PositionLog,
        news: Callable[[ReplicaHost, HostState | None], None],
        *,
        every: float,
        bounds: Bounds,
    ) -> None:
        self.name = planned.name
        self._database = database
        self.weight = planned.weight
        self.settings = planned.settings
        self.connectivity = Connectivity()
        self.engines = Engines(planned.settings, self._connected, on_replica=True, password=planned.password)
        self.journal = self.engines.journal = Journal(self.full_name, self.snapshot)
        self.watch = HostWatch(
            self.full_name, self.engines.unpooled, self._heard, every=every, timeout=planned.settings.health_timeout
        )
        self._silence = Silence(lambda: self.full_name, lambda: self.engines.pooled)
        self.standing = Standing.UNKNOWN
        self.sessions: set[object] = set()
        self.conflicts = self.moved = self.turn = 0
        self.problem: str | None = None
        self._positions, self._news, self._bounds = positions, news, bounds
        self._state: HostState | None = None
        self._lag: Lag | None = None
        # Something failed there just now; the next look tells.
        self._is_doubted = False

    def start(self) -> None:
        """Begin to look at it, on the running event loop."""
        self.engines.reopen()
        self.journal.start()
        self.watch.start()

    async def warm_up(self, seconds: float) -> None:
        """Open the `min_idle` connections; wait for them only where it answers."""
        await self.engines.warm_up(0 if self.standing is Standing.UNREACHABLE else seconds)

    async def stop(self) -> None:
        """Look no more; what is known is forgotten."""
        self.journal.stop()
        await self.watch.stop()
        self.standing, self._state, self._lag = Standing.UNKNOWN, None, None

    @property
    def full_name(self) -> str:
        """With the name of its database before it."""
        return f"{self._database()}/{self.name}"

    @property
    def candidate(self) -> Candidate:
        """What the choice has to know."""
        state = self._state
        return Candidate(
            self.name,
            Standing.UNKNOWN if self._is_doubted else self.standing,
            self.weight,
            len(self.sessions),
            self.turn,
            None if state is None else state.position,
            self._seconds,
        )

    @property
    def view(self) -> ReplicaView:
        """The replica now."""
        state, lag = self._state, self._lag
        return ReplicaView(
            name=self.name,
            standing=self.standing,
            role=None if state is None else state.role,
            weight=self.weight,
            lag=self._seconds,
            lag_bytes=None if lag is None else lag.size,
            sessions=len(self.sessions),
            conflicts=self.conflicts,
            moved=self.moved,
            problem=self.problem,
            pool=self.snapshot(),
        )

    def snapshot(self) -> PoolSnapshot:
        """The numbers of its pool."""
        pool = self.engines.snapshot(self.full_name)
        return replace(pool, gets_reads=self.standing is Standing.READY, replica_lag=self._seconds)

    def failed(self) -> None:
        """A session met trouble there: nobody is sent there before the next look, which is at once."""
        if self.standing is Standing.READY and not self._is_doubted:
            self._is_doubted = True
            self.watch.soon()

    @property
    def _seconds(self) -> float | None:
        if self._lag is not None:
            return self._lag.seconds
        return None if self._state is None else self._state.lag

    @property
    def _stopped(self) -> str:
        return " and has stopped to follow" if self._state is not None and self._state.stopped else ""

    def _connected(self, failure: ConnectFailed | None) -> None:
        self.connectivity.report(failure)
        if failure is not None:
            self.failed()

    def _heard(self, state: HostState | None, problem: str | None) -> None:
        self._state, self.problem, self._is_doubted = state, problem, False
        self._silence.heard(nothing=self.watch.is_silent)
        position = None if state is None else state.position
        self._lag = None if position is None else self._positions.lag_of(position, time.monotonic())
        before, self.standing = self.standing, standing_of(state, self._lag, self._bounds, self.standing)
        if before is not self.standing:
            self._tell(before)
        self._news(self, state)

    def _tell(self, before: Standing) -> None:
        if self.standing is Standing.READY:
            log.info("%s: gets reads", self.full_name)
            return
        why = {
            Standing.LAGGING: f"it is {_behind(self._lag, self._seconds)} behind{self._stopped}",
            Standing.UNREACHABLE: self.problem,
            Standing.NOT_A_REPLICA: "it follows nobody: it has been promoted, or never was a replica",
        }.get(self.standing, "")
        level = logging.WARNING if before in {Standing.READY, Standing.UNKNOWN} else logging.INFO
        log.log(level, "%s: gets no reads: %s", self.full_name, why)


def _behind(lag: Lag | None, seconds: float | None) -> str:
    if lag is None:
        return "an unknown time" if seconds is None else f"{seconds:.1f} s"
    time_behind = f"{lag.seconds:.1f} s" if lag.is_known else "an unknown time"
    return time_behind if lag.size is None else f"{time_behind} and {lag.size} bytes"
