"""The engines of one database, each made at its first use, with its session factories and its register of checkouts."""

from __future__ import annotations

import time
from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Engine, exc
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import Pool

from poolkeeper.database.pooler_watch import PoolerWatch
from poolkeeper.database.read_engine import make_read_only
from poolkeeper.database.read_session import ReadSession
from poolkeeper.database.retrying import Retrying
from poolkeeper.database.sessions import async_makers, sync_makers
from poolkeeper.database.totals import sum_of_limits, together
from poolkeeper.engine import (
    Commands,
    ConnectObserver,
    Destination,
    Password,
    Passwords,
    build_async_engine,
    build_sync_engine,
)
from poolkeeper.errors import ConnectFailed
from poolkeeper.model import PoolSnapshot, Report
from poolkeeper.observe import Checkouts, Journal, LagWatch, ObservedPool, ThreadWatch
from poolkeeper.observe.recorder import TimesObserver
from poolkeeper.pool import ON_REPLICA, KeeperPool, Measured, MeasuredQueuePool, guard_of
from poolkeeper.settings import EffectiveSettings
from poolkeeper.settings.dsn import Dsn
from poolkeeper.settings.effective import Kind

# Of a database that was given no name.
DEFAULT_NAME = "default"


@dataclass(frozen=True, slots=True)
class PooledEngine:
    """An engine in its synchronous face, as pool events see it, with its commands under way and what is observed."""

    engine: Engine
    commands: Commands
    observed: ObservedPool

    @property
    def checkouts(self) -> Checkouts:
        return self.observed.checkouts

    @property
    def keeper_pool(self) -> KeeperPool | None:
        """The pool of this moment, where it is ours: disposing of an engine gives it another."""
        pool = self.engine.pool
        return pool if isinstance(pool, KeeperPool) else None


class Engines:
    """At most one asyncio engine and one for threads; psycopg can have both, each with a pool of its own.

    `routed` where read sessions may go to the engines of replicas, which are `on_replica`.
    """

    def __init__(
        self,
        settings: EffectiveSettings,
        observer: ConnectObserver,
        session_class: type[AsyncSession] = AsyncSession,
        *,
        routed: bool = False,
        on_replica: bool = False,
        password: Password | None = None,
    ) -> None:
        self._settings = settings
        # How the pools made from now on call themselves; that of a service's only database needs no name.
        self.name = DEFAULT_NAME
        self._routed = routed
        self._on_replica = on_replica
        self.pooler = PoolerWatch(settings, self._unpooled_leaving_nothing)
        self._observer = self.pooler.hearing(observer)
        self._session_class = session_class
        self._passwords = None if password is None else Passwords(password, settings.connect_timeout)
        self._expected: set[Kind] = set()
        self._is_suspended = False
        self.lag = LagWatch()
        self.thread_watch = ThreadWatch()
        # Writes down what goes wrong in the pools made from now on.
        self.journal: Journal | None = None
        # Explains to their callers why there is no connection for them.
        self.reporter: Callable[[], Report] | None = None
        # What may be sent a second time.
        self.retrying: Retrying | None = None
        # Makes who hears how long each wait, connect and hold of a new pool takes.
        self.times: Callable[[], TimesObserver | None] = lambda: None
        self.pooled: list[PooledEngine] = []
        # Of these engines; those that are made to look at the URL's own host stay with it.
        is_elsewhere_possible = routed or len(settings.url.addresses) > 1
        self.destination = (
            None
            if on_replica
            else Destination(is_elsewhere_possible=is_elsewhere_possible, patience=settings.connect_grace)
        )

    def expect(self, kind: Kind) -> None:
        """Note that the service is going to use its engine of this kind."""
        self._expected.add(kind)

    @cached_property
    def asyncio(self) -> AsyncEngine:
        engine, commands = build_async_engine(
            self._settings,
            self._observer,
            pool_name=self._pool_name,
            destination=self.destination,
            passwords=self._passwords,
        )
        self.pooled.append(PooledEngine(engine.sync_engine, commands, self._observed(engine.sync_engine)))
        if isinstance(pool := engine.sync_engine.pool, KeeperPool | Measured):
            pool.reporter = self.reporter
        return engine

    @cached_property
    def threads(self) -> Engine:
        engine, commands = build_sync_engine(
            self._settings,
            self._observer,
            pool_name=self._pool_name,
            destination=self.destination,
            passwords=self._passwords,
        )
        self.pooled.append(PooledEngine(engine, commands, self._observed(engine)))
        if isinstance(pool := engine.pool, Measured):
            pool.reporter = self.reporter
        return engine

    @property
    def _pool_name(self) -> str | None:
        return None if self.name == DEFAULT_NAME else self.name

    def _observed(self, engine: Engine) -> ObservedPool:
        self.pooler.watch(engine)
        if self._is_suspended:
            _suspendable(engine.pool).suspend()
        observed = ObservedPool(engine, self.lag, self.thread_watch)
        observed.recorder.times = self.times()
        if (journal := self.journal) is not None:
            observed.recorder.listeners.append(journal)
            observed.nesting.on_nested = journal.nested
        return observed

    @cached_property
    def asyncio_reader(self) -> AsyncEngine:
        """The engine of read sessions, on the same pool."""
        reader = self.asyncio.execution_options(**{ON_REPLICA: self._on_replica})
        make_read_only(reader.sync_engine, by_server=self._enforced_by_server)
        return reader

    @cached_property
    def threads_reader(self) -> Engine:
        """The same for threads."""
        reader = self.threads.execution_options(**{ON_REPLICA: self._on_replica})
        make_read_only(reader, by_server=self._enforced_by_server)
        return reader

    @property
    def _enforced_by_server(self) -> bool:
        # A replica does it unasked, in one round trip.
        return self._settings.enforce_read_only == "server" and not self._on_replica

    def reader(self, kind: Kind) -> Engine:
        """The engine of read sessions of this kind, in its synchronous face."""
        return self.asyncio_reader.sync_engine if kind == "async" else self.threads_reader

    @cached_property
    def asyncio_makers(self) -> tuple[async_sessionmaker[AsyncSession], async_sessionmaker[AsyncSession]]:
        """Session factories for writing and for reading."""
        return async_makers(
            self.asyncio, self.asyncio_reader, self._session_class, routed=self._routed, retrying=self.retrying
        )

    @cached_property
    def thread_makers(self) -> tuple[sessionmaker[Session], sessionmaker[ReadSession]]:
        return sync_makers(self.threads, self.threads_reader, routed=self._routed, retrying=self.retrying)

    def suspend(self) -> None:
        """Hand out no connections until `resume()`, of engines that are made meanwhile neither. On the event loop.

        Raises `InvalidRequestError` for a pool that cannot wait, and suspends none then.
        """
        self.working()
        for pooled in self.pooled:
            _suspendable(pooled.engine.pool)
        self._is_suspended = True
        for pooled in self.pooled:
            _suspendable(pooled.engine.pool).suspend()

    def resume(self) -> None:
        """Serve those who wait, and everybody after them. Raises as `suspend()`."""
        self.working()
        self._is_suspended = False
        for pooled in self.pooled:
            _suspendable(pooled.engine.pool).resume()

    @property
    def keeper_pool(self) -> KeeperPool:
        """The pool for asyncio. Raises `InvalidRequestError` where it is one of SQLAlchemy's."""
        pool = self.asyncio.sync_engine.pool
        if not isinstance(pool, KeeperPool):
            raise exc.InvalidRequestError(f"{type(pool).__name__} cannot be resized")
        return pool

    def working(self) -> tuple[AsyncEngine | Engine, Commands]:
        """The engine that the service works with: the one made first, or else the one that is expected or possible."""
        if not self.pooled:
            only_threads = not self._settings.supports_async or self._expected == {"sync"}
            _ = self.threads if only_threads else self.asyncio
        first = self.pooled[0]
        return self.asyncio if first.engine.dialect.is_async else self.threads, first.commands

    def cut_off(self, task: Task[Any], seconds: float) -> bool:
        """Fail what this task awaits of the database with `CommandTimeout(seconds)`; False if it awaits nothing."""
        cut = [pooled.commands.cut_off(task, seconds) for pooled in self.pooled]
        return any(cut)

    def unpooled(self) -> tuple[AsyncEngine | Engine, Commands]:
        """An engine of the same kind that keeps no connections, for looking at the database past the pool."""
        return self._unpooled(self._settings, self._observer, self.destination)

    def unpooled_at_home(self) -> tuple[AsyncEngine | Engine, Commands]:
        """The same for the URL's own host, wherever the others lead."""
        return self._unpooled(self._settings, self._heard_at_home, None)

    def _unpooled_leaving_nothing(self) -> tuple[AsyncEngine | Engine, Commands]:
        """The same without prepared statements, for a pooler's shared connections; how its connects end is nobody's
        news."""
        return self._unpooled(replace(self._settings, pooler="transaction"), lambda _failure: None, self.destination)

    def _heard_at_home(self, failure: ConnectFailed | None) -> None:
        if self.destination is None or not self.destination.has_moved:
            self._observer(failure)

    def _unpooled(
        self, settings: EffectiveSettings, observer: ConnectObserver, destination: Destination | None
    ) -> tuple[AsyncEngine | Engine, Commands]:
        engine, _ = self.working()
        build = build_async_engine if isinstance(engine, AsyncEngine) else build_sync_engine
        return build(settings, observer, pooled=False, destination=destination, passwords=self._passwords)

    def move(self, url: Dsn | None, *, cut_off: bool) -> None:
        """Lead to the host of this URL from now on; None is the own one. On the event loop of the engines.

        `cut_off` ends what is under way, for a host that answers no more: it would keep its connections until
        `command_timeout`.
        """
        if self.destination is None:
            return
        self.destination.move(url)
        self.renew()
        if cut_off:
            for pooled in self.pooled:
                pooled.commands.abort_all()

    def settle_anew(self) -> None:
        """Connect anew, and to a host that takes writes where there may be another that does. From any thread."""
        if self.destination is not None:
            self.destination.settle_anew()
        self.renew()

    def renew(self) -> None:
        """Hand out none of the connections that are open now, and connect anew at once. From any thread."""
        for pooled in self.pooled:
            if (pool := pooled.keeper_pool) is not None:
                pool.renew()
            elif (guard := guard_of(pooled.engine)) is not None:
                guard.renew()

    @property
    def exhausted(self) -> bool:
        """Whether every connection that may be open is in use."""
        counts = [pooled.checkouts.counts() for pooled in self.pooled]
        limit = sum_of_limits(pool.capacity for pool in counts)
        idle, in_use = sum(pool.idle for pool in counts), sum(pool.in_use for pool in counts)
        return bool(counts) and idle == 0 and limit is not None and in_use >= limit

    def snapshot(self, name: str) -> PoolSnapshot:
        """The numbers of all pools of this database as one."""
        pools = [pooled.observed.snapshot(name) for pooled in self.pooled]
        return together(pools) if pools else self._unused(name)

    def _unused(self, name: str) -> PoolSnapshot:
        settings, now = self._settings, time.monotonic()
        is_queue = settings.pool == "queue"
        return PoolSnapshot(
            name=name,
            capacity=settings.capacity,
            in_use=0,
            idle=0,
            waiting=0,
            at=now,
            pool_size=settings.pool_size if is_queue else None,
            min_idle=settings.min_idle if is_queue else 0,
            pool_timeout=settings.pool_timeout if is_queue else None,
            pool_recycle=settings.pool_recycle if is_queue and settings.pool_recycle >= 0 else None,
            loop_lag=self.lag.lag(now),
            threads=self.thread_watch.threads(),
        )

    def tell_times(self) -> None:
        """Let who measures by now hear also the pools that were made before."""
        for pooled in self.pooled:
            pooled.observed.recorder.times = self.times()

    def watch_loop(self) -> None:
        """Note what happens to the running event loop and to its threads, from now on."""
        self.lag.begin()
        self.thread_watch.begin()

    def forget_loop(self) -> None:
        """Note no more of it."""
        self.lag.end()
        self.thread_watch.end()

    async def warm_up(self, timeout: float) -> tuple[int, BaseException | None]:
        """Open `min_idle` connections for up to `timeout` seconds; how many are missing then, and what kept them away.

        A driver that serves threads too may be used for those alone: its asyncio pool is warmed up only where somebody
        asked for it.
        """
        wanted = not self._settings.supports_sync or "async" in self._expected or "asyncio" in self.__dict__
        if not wanted or not self._settings.min_idle:
            return 0, None
        pool = self.asyncio.sync_engine.pool
        if not isinstance(pool, KeeperPool):
            return 0, None
        return await pool.warm_up(timeout), pool.last_connect_error

    def reopen(self) -> None:
        """Give out connections again after `dispose()`."""
        self._is_suspended = False
        for pooled in self.pooled:
            if isinstance(pool := pooled.engine.pool, MeasuredQueuePool):
                pool.resume()
            if pooled.keeper_pool is not None:
                # A drained pool stays closed; the engine gets another.
                pooled.engine.dispose()

    async def dispose(self) -> None:
        """Close what is home now and the rest when it comes home; a few seconds, also on a silent network.

        Our own pool gives out nothing from then on: callers get `PoolClosed`.
        """
        for pooled in self.pooled:
            pooled.checkouts.discard_on_return()
            if pooled.engine.dialect.is_async:
                await self.asyncio.dispose()
            else:
                pooled.engine.dispose()
            if (pool := pooled.keeper_pool) is not None:
                await pool.drain(0)


def _suspendable(pool: Pool) -> KeeperPool | MeasuredQueuePool:
    if isinstance(pool, KeeperPool | MeasuredQueuePool):
        return pool
    raise exc.InvalidRequestError(f"{type(pool).__name__} cannot be suspended")
