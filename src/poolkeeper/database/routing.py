"""Reads to replicas: which are in the rotation, and which of them shows what the caller wrote."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from poolkeeper.database.callers import WRITES_FOR, Caller, Callers
from poolkeeper.database.engines import Engines, PooledEngine
from poolkeeper.database.primary import Primary
from poolkeeper.database.read_session import ROUTE
from poolkeeper.database.replica_host import ReplicaHost
from poolkeeper.database.replicas import PlannedReplica
from poolkeeper.database.route import Route
from poolkeeper.model import HostState, Place, Position, ReplicaView, Standing
from poolkeeper.policy import Bounds, PositionLog, choose, worth_waiting
from poolkeeper.settings import EffectiveSettings
from poolkeeper.settings.effective import Kind

# A share of `max_lag`, within these seconds: how far behind a replica is, is known as exactly.
_LOOKS_IN_MAX_LAG = 4
_OFTEN, _RARELY = 0.1, 1.0
# A primary that does not tell its position in this time (seconds) is not waited for: readers stay with it for a while.
_POSITION_WITHIN = 0.5


class Router:
    """The hosts of one database. While it does not run, between `start()` and `stop()`, every read is the primary's.

    `name` gives that of the database. One connection to each host is kept for looking at it.
    """

    def __init__(
        self,
        name: Callable[[], str],
        settings: EffectiveSettings,
        primary: Engines,
        replicas: tuple[PlannedReplica, ...],
    ) -> None:
        every = min(_RARELY, max(_OFTEN, settings.max_lag / _LOOKS_IN_MAX_LAG))
        bounds = Bounds(settings.max_lag, settings.max_lag_bytes)
        self.callers = Callers(name())
        self._settings = settings
        self._primary = primary
        self._positions = PositionLog()
        self._turns = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.primary = Primary(name, settings, primary, self._positions, every=every)
        self.hosts = tuple(
            ReplicaHost(name, replica, self._positions, self._looked, every=every, bounds=bounds)
            for replica in replicas
        )
        if primary.destination is not None:
            primary.destination.on_doubt = self.primary.look_soon
        for host in self.hosts:
            host.engines.lag = primary.lag

    # Life

    def start(self) -> None:
        """Begin to look at the hosts, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.primary.start()
        for host in self.hosts:
            host.start()

    async def warm_up(self, seconds: float) -> None:
        """Look at every host, then open the `min_idle` connections of each replica, within about so many seconds.

        What cannot be reached is not waited for; it joins when it answers.
        """
        try:
            async with asyncio.timeout(seconds):
                # Lag is told from where the primary is.
                await self.primary.watch.next()
                await asyncio.gather(*(host.watch.next() for host in self.hosts))
                await asyncio.gather(*(host.warm_up(seconds) for host in self.hosts))
        except TimeoutError:
            return

    async def stop(self) -> None:
        """End the looks. Reads go to the primary from now on."""
        self._loop = None
        await asyncio.gather(self.primary.stop(), *(host.stop() for host in self.hosts))
        self._tell()

    async def close(self) -> None:
        """The same, and close the replicas' connections."""
        await self.stop()
        await asyncio.gather(*(host.engines.dispose() for host in self.hosts))

    @property
    def pooled(self) -> list[PooledEngine]:
        """The replicas' engines that are in use."""
        return [pooled for host in self.hosts for pooled in host.engines.pooled]

    def expect(self, kind: Kind) -> None:
        """Note that the service is going to use engines of this kind."""
        for host in self.hosts:
            host.engines.expect(kind)

    @property
    def has_replica(self) -> bool:
        """Whether some replica gets reads."""
        return any(host.standing is Standing.READY for host in self.hosts)

    def views(self) -> tuple[ReplicaView, ...]:
        """Every replica now."""
        return tuple(replace(host.view, is_primary=host is self.primary.host) for host in self.hosts)

    # Positions

    async def position(self) -> Position:
        """What shows everything that is committed by now. One round trip, shared by those who ask at the same time."""
        state = None
        if self._runs_here:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POSITION_WITHIN):
                    state = await self.primary.watch.next()
        if state is None or state.written is None:
            return Position(until=time.time() + self._settings.max_lag)
        return Position(log=state.written)

    async def position_of(self, caller: Caller) -> Position | None:
        """What shows everything that this caller committed; None where that is nothing."""
        if not caller.is_settled:
            commits = caller.commits
            caller.settle(commits, await self.position())
        return caller.position

    # Routes

    @contextmanager
    def route(self, kind: Kind, after: Position | None) -> Generator[Route]:
        """The route of a read session, which takes it until the block ends."""
        route = Route(self, kind, self.callers.here(), after)
        try:
            yield route
        finally:
            route.end()

    def engine_of(self, host: ReplicaHost | None, kind: Kind) -> Engine:
        """The engine for reading there; None is the primary."""
        return (self._primary if host is None else host.engines).reader(kind)

    def decide(self, route: Route) -> ReplicaHost | None:
        """The host for a session that needs a connection now; None is the primary.

        Where the caller has written, this may take a round trip, and up to `replica_wait` seconds.
        """
        if self._loop is None:
            return None
        if route.caller.is_settled:
            needed = _needed(route)
            found = self._at_once(route, needed)
            if found is not None or needed.until is not None or needed.log is None:
                return found
        return self._in_time(self._decide_later(route))

    async def _decide_later(self, route: Route) -> ReplicaHost | None:
        if not self._runs_here:
            return None
        await self.position_of(route.caller)
        needed = _needed(route)
        found = self._at_once(route, needed)
        if found is not None or needed.until is not None or needed.log is None:
            return found
        return await self._awaited(route, needed.log)

    def _at_once(self, route: Route, needed: Position) -> ReplicaHost | None:
        return self._chosen(route, needed.log) if needed.until is None else None

    async def _awaited(self, route: Route, log: Place) -> ReplicaHost | None:
        """The first that has replayed so much, in time."""
        seconds = self._settings.replica_wait
        names = worth_waiting((host.candidate for host in self._hosts_for(route)), seconds)
        hopeful = [host for host in self.hosts if host.name in names]
        for host in hopeful:
            host.watch.hurry(seconds)
        found, end = None, time.monotonic() + seconds
        while found is None and (left := end - time.monotonic()) > 0:
            # One that stopped to follow, or went away, will not make it.
            if all(host.candidate.standing is not Standing.READY for host in hopeful):
                break
            await self._news(left)
            found = self._chosen(route, log)
        return found

    def _chosen(self, route: Route, log: Place | None) -> ReplicaHost | None:
        best = choose((host.candidate for host in self._hosts_for(route)), log)
        if best is None:
            return None
        host = next(host for host in self.hosts if host.name == best.name)
        self._turns += 1
        host.turn = self._turns
        return host

    def _hosts_for(self, route: Route) -> Iterator[ReplicaHost]:
        return (host for host in self.hosts if host not in route.left)

    def _in_time(self, deciding: Coroutine[Any, Any, ReplicaHost | None]) -> ReplicaHost | None:
        if in_greenlet():
            return await_only(deciding)
        loop = self._loop
        if loop is None or loop.is_closed() or _running_loop() is not None:
            # Nobody may wait here.
            deciding.close()
            return None
        future = asyncio.run_coroutine_threadsafe(deciding, loop)
        try:
            return future.result(self._settings.health_timeout + self._settings.replica_wait)
        except TimeoutError:
            future.cancel()
            return None

    @property
    def _runs_here(self) -> bool:
        return self._loop is not None and self._loop is _running_loop()

    # News

    def _looked(self, host: ReplicaHost, state: HostState | None) -> None:
        self.primary.heard(host, state)
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _news(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait({future}, timeout=seconds)
        finally:
            self._waiting.discard(future)


@contextmanager
def reading(router: Router | None, kind: Kind, after: Position | None) -> Generator[dict[str, Any]]:
    """What a read session is made with, for as long as it lasts."""
    if router is None:
        yield {}
        return
    with router.route(kind, after) as route:
        yield {"info": {ROUTE: route}}


def writing(router: Router | None) -> dict[str, Any]:
    """What a session is made with that writes."""
    return {} if router is None else {"info": {WRITES_FOR: router.callers.here()}}


def _needed(route: Route) -> Position:
    """What the session has to see; `until` only while it is to come."""
    needed = (route.after or Position()).later(route.caller.position)
    if needed.until is not None and needed.until <= time.time():
        return replace(needed, until=None)
    return needed


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
