"""The primary of a database with replicas: the configured host, until another one is promoted in its place."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from poolkeeper.database.engines import Engines
from poolkeeper.database.host_watch import HostWatch
from poolkeeper.database.replica_host import ReplicaHost
from poolkeeper.database.silence import Silence
from poolkeeper.model import HostState, Role
from poolkeeper.policy import PositionLog, Primacy
from poolkeeper.settings import EffectiveSettings

log = logging.getLogger("poolkeeper")
# How messages call the host of the database's own URL.
CONFIGURED = "primary"


class Primary:
    """Looks at the configured host, hears what is found at the others, and leads the engines to the one that writes."""

    def __init__(
        self,
        name: Callable[[], str],
        settings: EffectiveSettings,
        engines: Engines,
        positions: PositionLog,
        *,
        every: float,
    ) -> None:
        # Where it is now; None is the configured host.
        self.host: ReplicaHost | None = None
        # What the host that is the primary says it is.
        self.role: Role | None = None
        self._database, self._engines, self._positions = name, engines, positions
        self._primacy = Primacy(CONFIGURED, must_see=settings.url.dialect != "postgresql")
        self._hosts: dict[str, ReplicaHost] = {}
        self._answers: dict[str, bool] = {}
        self._silence = Silence(name, lambda: engines.pooled)
        self._own_watch = HostWatch(
            name(), engines.unpooled_at_home, self._looked, every=every, timeout=settings.health_timeout
        )

    @property
    def name(self) -> str:
        """The host's name: that of the replica that was promoted, or "primary"."""
        return CONFIGURED if self.host is None else self.host.name

    @property
    def watch(self) -> HostWatch:
        """Who looks at the host that is the primary now."""
        return self._own_watch if self.host is None else self.host.watch

    def start(self) -> None:
        """Begin to look at the configured host, on the running event loop."""
        self._own_watch.start()

    async def stop(self) -> None:
        """Look no more. Connections go on leading where they do."""
        await self._own_watch.stop()

    def look_soon(self) -> None:
        """It may be another by now: look at all hosts at once. From any thread."""
        self._own_watch.soon()
        for host in tuple(self._hosts.values()):
            host.watch.soon()

    def heard(self, host: ReplicaHost, state: HostState | None) -> None:
        """Note what a look at a replica has found."""
        self._hosts[host.name] = host
        self._note(host.name, state)

    def _looked(self, state: HostState | None, _problem: str | None) -> None:
        self._note(CONFIGURED, state)

    def _note(self, name: str, state: HostState | None) -> None:
        self._answers[name] = state is not None
        if self._primacy.heard(name, state, time.monotonic()):
            self._move()
        if name != self.name:
            return
        self._silence.heard(nothing=self.watch.is_silent)
        if state is None:
            return
        self.role = state.role
        if state.role is Role.PRIMARY and state.position is not None:
            self._positions.seen(state.position, state.at)

    def _move(self) -> None:
        before = self.name
        self._silence.forget()
        self.host = self._hosts.get(self._primacy.name)
        there = None if self.host is None else self.host.settings.url
        self._engines.move(there, cut_off=not self._answers.get(before, False))
        self.watch.soon()
        log.warning(
            "%s: %s takes the writes now, and %s no more; connections to the primary lead there",
            self._database(),
            self.name,
            before,
        )
