"""A pool in virtual time, its callers, and what must always hold for them."""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy import exc
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from poolkeeper.model import PoolEvent, PoolEventKind
from poolkeeper.pool import KeeperPool
from poolkeeper.testing import ScriptedConnection, ScriptedDatabase, VirtualTimeLoop, assert_conserved
from poolkeeper.testing.scripted import errors

TIMEOUT = 30.0
RECYCLE = 100.0
# Everything that can happen without time passing has happened after so many seconds.
MOMENT = 1e-4
# What has happened sets nothing more in motion after so many turns of the loop.
_SETTLED = 20
_EXPECTED = (asyncio.CancelledError, exc.SQLAlchemyError, errors.Error, OSError)

Work = Callable[[PoolProxiedConnection], Any]


def leak(connection: PoolProxiedConnection) -> None:
    """The order to forget the connection without returning it."""


class Caller:
    """Asks for a connection, and does with it what it is told; told None, it goes home."""

    def __init__(self, world: World) -> None:
        self.pool = world.pool
        self.raw: ScriptedConnection | None = None
        self.number: int | None = None
        self.since = 0.0
        self.leaks = False
        self.detaches = self.detached = False
        self._world = world
        self._orders: asyncio.Queue[Work | None] = asyncio.Queue()
        self.task = world.loop.create_task(self._live())

    def __repr__(self) -> str:
        return f"<Caller {self.number}: {self.raw or 'waits'}, {self.task._state}>"

    @property
    def waits(self) -> bool:
        return self.number is not None and self.raw is None and not self.task.done()

    @property
    def holds(self) -> bool:
        return self.raw is not None and not self.task.done()

    def order(self, work: Work | None) -> None:
        self._orders.put_nowait(work)

    async def _live(self) -> None:
        self.number, self.since = next(self._world.numbers), self._world.loop.time()
        self.pool = self._world.pool
        connection = await self._world.engine.raw_connection()
        raw: Any = connection.driver_connection
        self.raw = raw
        self._world.served(self)
        try:
            while (work := await self._orders.get()) is not None:
                if work is leak:
                    self.leaks = True
                    return
                await greenlet_spawn(work, connection)
        finally:
            if not self.leaks:
                await greenlet_spawn(connection.close)


class World:
    """The database, the pools that were, and everybody who uses them."""

    def __init__(self, **arguments: Any) -> None:
        self.loop = VirtualTimeLoop()
        self.loop.set_exception_handler(lambda _, context: self.problems.append(str(context)))
        self.database = ScriptedDatabase()
        self.numbers = itertools.count(1)
        self.problems: list[str] = []
        self.callers: list[Caller] = []
        self.pools: list[KeeperPool] = []
        self._dead: set[ScriptedConnection] = set()
        self._at_rest = True
        self.engine = self.database.engine(
            poolclass=KeeperPool, pool_timeout=TIMEOUT, pool_recycle=RECYCLE, observer=self, **arguments
        )
        self.replaced()

    @property
    def pool(self) -> KeeperPool:
        pool = self.engine.pool
        assert isinstance(pool, KeeperPool)
        return pool

    def replaced(self) -> None:
        """The engine has another pool now."""
        if self.pool not in self.pools:
            self.pools.append(self.pool)

    # What passes

    def turn(self, turns: int | None) -> None:
        """Let so many turns of the loop pass, or (None) everything happen that takes no time."""
        if turns is None:
            self.advance(MOMENT)
        elif turns:
            self.run(_spin(turns))

    def advance(self, seconds: float) -> None:
        self.run(_pass(seconds))
        self._at_rest = True
        self._dead = {connection for connection in self.database.connections if connection.is_killed}

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        self._at_rest = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exc.SAWarning)
            return self.loop.run_until_complete(work)

    def inside(self, work: Callable[[], None]) -> None:
        """Do something on the event loop; nothing else runs meanwhile."""

        async def step() -> None:
            work()

        self.run(step())

    def kill(self, connection: ScriptedConnection) -> None:
        connection.kill()
        if self._at_rest:
            # Else it may have been handed over already, to a caller who has not run since.
            self._dead.add(connection)

    # What callers and the pool report

    def served(self, caller: Caller) -> None:
        raw = caller.raw
        assert raw is not None
        if raw in self._dead:
            self.problems.append(f"{raw} was handed out dead")
        if any(other.raw is raw and other is not caller and other.holds for other in self.callers):
            self.problems.append(f"{raw} was handed out twice")
        if (age := self.loop.time() - raw.opened_at) > RECYCLE:
            self.problems.append(f"{raw} was handed out {age} s old")

    def notice(self, event: PoolEvent) -> None:
        """Hear the pool."""
        for pool in self.pools if event.kind is PoolEventKind.CONNECTING else ():
            counts = pool.counts()
            if counts.connecting > pool.options.limits.connects_at_once:
                self.problems.append(f"too many connects at once: {counts}")

    # What must hold

    def check_always(self) -> None:
        assert not self.problems, self.problems
        counts = self.pool.counts()
        assert counts.opened == counts.closed_total + counts.in_use + counts.idle + counts.checking, counts
        for caller in self.callers:
            if caller.task.done() and not caller.task.cancelled() and (error := caller.task.exception()):
                assert isinstance(error, _EXPECTED), repr(error)

    def check_at_rest(self) -> None:
        """What holds when nothing is left that could happen without time passing."""
        self.check_always()
        self._check_order()
        self._check_nobody_is_forgotten()
        kept = sum(pool.counts().opened - pool.counts().closed_total for pool in self.pools)
        assert self._open_for_the_pools() == kept, (self.database, self.pools)

    def _open_for_the_pools(self) -> int:
        # Detached ones are their callers' own: SQLAlchemy leaves one open when its last rollback fails.
        own = {caller.raw for caller in self.callers if caller.detached}
        return sum(connection not in own for connection in self.database.connections)

    def _check_order(self) -> None:
        for pool in self.pools:
            ours = [caller for caller in self.callers if caller.pool is pool and caller.number is not None]
            first = min((caller.number or 0 for caller in ours if caller.waits), default=None)
            overtook = [caller for caller in ours if caller.raw and first is not None and (caller.number or 0) > first]
            assert not overtook, f"{overtook} overtook number {first}"

    def _check_nobody_is_forgotten(self) -> None:
        now, pool = self.loop.time(), self.pool
        waiting = [now - caller.since for caller in self.callers if caller.waits]
        assert max(waiting, default=0) <= TIMEOUT + 0.05, f"somebody waits for {max(waiting)} s"
        counts, limits = pool.counts(), pool.options.limits
        coming = counts.connecting + counts.checking
        if not pool.suspended and counts.waiting > counts.checking:
            assert not counts.idle, f"somebody waits while a connection is idle: {counts}"
        if pool.suspended or pool.last_connect_error is not None or counts.waiting <= coming:
            return
        is_full = counts.capacity is not None and counts.in_use + coming >= counts.capacity
        assert is_full or counts.connecting >= limits.connects_at_once, f"somebody waits while there is room: {counts}"

    # The end

    def finish(self) -> None:
        """With the database well again everybody is served, everything of use, and nothing is left behind."""
        self.database.heal()
        self.inside(self.pool.resume)
        self._send_home()
        self.check_at_rest()
        stuck = [caller for caller in self.callers if not caller.task.done()]
        assert not stuck, stuck
        self._use_everything()
        self.run(self.engine.dispose())
        self.advance(10)
        assert not self._open_for_the_pools(), self.database
        assert not asyncio.all_tasks(self.loop), asyncio.all_tasks(self.loop)
        assert not self.problems, self.problems

    def _send_home(self) -> None:
        for caller in self.callers:
            caller.order(None)
        self.advance(TIMEOUT + 10)
        for _ in range(3):
            for caller in self.callers:
                if caller.raw is not None and caller.raw.is_silent:
                    # It waits for an answer that nobody sends, and then for another.
                    caller.task.cancel()
            self.advance(5)

    def _use_everything(self) -> None:
        callers = [Caller(self) for _ in range(self.pool.capacity or 5)]
        self.callers += callers
        self.advance(5)
        assert all(caller.holds for caller in callers), (callers, self.pool)
        for caller in callers:
            caller.order(None)
        self.advance(5)
        assert_conserved(self.pool, self._open_for_the_pools())

    def close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.database.heal()
        self.run(asyncio.sleep(10))
        for connection in self.database.connections:
            connection.abort()
        self.loop.close()


async def _pass(seconds: float) -> None:
    await asyncio.sleep(seconds)
    # What else was due at this very instant happens too.
    await _spin(_SETTLED)


async def _spin(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
