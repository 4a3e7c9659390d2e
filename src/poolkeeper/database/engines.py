"""The engines of one database, each made at its first use, with its session factories and its register of checkouts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Engine, exc
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from poolkeeper.database.sessions import ReadSession, async_makers, sync_makers
from poolkeeper.engine import Commands, ConnectObserver, build_async_engine, build_sync_engine
from poolkeeper.model import CloseReason, PoolSnapshot
from poolkeeper.observe import Checkouts
from poolkeeper.pool import KeeperPool
from poolkeeper.settings import EffectiveSettings
from poolkeeper.settings.effective import Kind


@dataclass(frozen=True, slots=True)
class PooledEngine:
    """An engine in its synchronous face, as pool events see it, with its commands under way and its checkouts."""

    engine: Engine
    commands: Commands
    checkouts: Checkouts

    @property
    def keeper_pool(self) -> KeeperPool | None:
        """The pool of this moment, where it is ours: disposing of an engine gives it another."""
        pool = self.engine.pool
        return pool if isinstance(pool, KeeperPool) else None


class Engines:
    """At most one asyncio engine and one for threads; psycopg can have both, each with a pool of its own."""

    def __init__(
        self, settings: EffectiveSettings, observer: ConnectObserver, session_class: type[AsyncSession]
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._session_class = session_class
        self._expected: set[Kind] = set()
        self.pooled: list[PooledEngine] = []

    def expect(self, kind: Kind) -> None:
        """Note that the service is going to use its engine of this kind."""
        self._expected.add(kind)

    @cached_property
    def asyncio(self) -> AsyncEngine:
        engine, commands = build_async_engine(self._settings, self._observer)
        self.pooled.append(PooledEngine(engine.sync_engine, commands, Checkouts(engine.sync_engine)))
        return engine

    @cached_property
    def threads(self) -> Engine:
        engine, commands = build_sync_engine(self._settings, self._observer)
        self.pooled.append(PooledEngine(engine, commands, Checkouts(engine)))
        return engine

    @cached_property
    def asyncio_makers(self) -> tuple[async_sessionmaker[AsyncSession], async_sessionmaker[AsyncSession]]:
        """Session factories for writing and for reading."""
        return async_makers(self.asyncio, self._session_class)

    @cached_property
    def thread_makers(self) -> tuple[sessionmaker[Session], sessionmaker[ReadSession]]:
        return sync_makers(self.threads)

    @property
    def keeper_pool(self) -> KeeperPool:
        """The pool for asyncio. Raises `InvalidRequestError` where it is one of SQLAlchemy's."""
        pool = self.asyncio.sync_engine.pool
        if not isinstance(pool, KeeperPool):
            raise exc.InvalidRequestError(f"{type(pool).__name__} can neither be suspended nor resized")
        return pool

    def working(self) -> tuple[AsyncEngine | Engine, Commands]:
        """The engine that the service works with: the one made first, or else the one that is expected or possible."""
        if not self.pooled:
            only_threads = not self._settings.supports_async or self._expected == {"sync"}
            _ = self.threads if only_threads else self.asyncio
        first = self.pooled[0]
        return self.asyncio if first.engine.dialect.is_async else self.threads, first.commands

    def unpooled(self) -> tuple[AsyncEngine | Engine, Commands]:
        """An engine of the same kind that keeps no connections, for looking at the database past the pool."""
        engine, _ = self.working()
        build = build_async_engine if isinstance(engine, AsyncEngine) else build_sync_engine
        return build(self._settings, self._observer, pooled=False)

    def snapshot(self, name: str) -> PoolSnapshot:
        """The numbers of all pools of this database as one."""
        pools = [pooled.checkouts.snapshot(name) for pooled in self.pooled]
        limits = [pool.capacity for pool in pools if pool.capacity is not None]
        if not pools:
            return PoolSnapshot(name=name, capacity=self._settings.capacity, in_use=0, idle=0, waiting=0)
        return PoolSnapshot(
            name=name,
            capacity=sum(limits) if len(limits) == len(pools) else None,
            in_use=sum(pool.in_use for pool in pools),
            idle=sum(pool.idle for pool in pools),
            waiting=sum(pool.waiting for pool in pools),
            connecting=sum(pool.connecting for pool in pools),
            checking=sum(pool.checking for pool in pools),
            opened=sum(pool.opened for pool in pools),
            closed=dict(sum((Counter(pool.closed) for pool in pools), Counter[CloseReason]())),
            holders=tuple(sorted((held for pool in pools for held in pool.holders), key=lambda held: -held.seconds)),
        )

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
        for pooled in self.pooled:
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
