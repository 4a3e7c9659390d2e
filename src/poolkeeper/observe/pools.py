"""All that is known of one engine's pool."""

from __future__ import annotations

import math
import time

from sqlalchemy import Engine

from poolkeeper.model import PoolCounts, PoolEvent, PoolEventKind, PoolSnapshot
from poolkeeper.observe import live_pools
from poolkeeper.observe.checkouts import Checkouts, Dialog
from poolkeeper.observe.deadlocks import DeadlockCount
from poolkeeper.observe.loop_lag import LagWatch
from poolkeeper.observe.nesting import NestingCount
from poolkeeper.observe.recorder import Recorder, ThreadRecorder
from poolkeeper.observe.threads import ThreadWatch
from poolkeeper.pool import KeeperPool, limits_of


class ObservedPool:
    """An engine's pool, whichever kind it is: counted, timed, and with a register of who has its connections.

    `engine` is the synchronous face of an `AsyncEngine`. It is observed from now on, as long as it lives.
    """

    def __init__(self, engine: Engine, lag: LagWatch | None = None, threads: ThreadWatch | None = None) -> None:
        self.engine = engine
        self.recorder = Recorder() if engine.dialect.is_async else ThreadRecorder()
        self.lag = lag or LagWatch()
        self.threads = threads or ThreadWatch()
        self.recorder.listeners.append(self)
        self.checkouts = Checkouts(engine, self.recorder)
        self.deadlocks = DeadlockCount(engine, Dialog(engine).shape)
        self.nesting = NestingCount(self.checkouts)
        live_pools.add(self)

    def notice(self, event: PoolEvent) -> None:
        # A pool that is used on an event loop for the first time has to connect there.
        if event.kind is PoolEventKind.CONNECTING:
            self.lag.begin()
            self.threads.begin()
        elif event.kind is PoolEventKind.WAITING or event.kind is PoolEventKind.REFUSED:
            self.nesting.notice(event)

    def counts(self) -> PoolCounts:
        """The pool's numbers at this moment."""
        return self.checkouts.counts()

    def snapshot(self, name: str) -> PoolSnapshot:
        """The pool's numbers and holders at this moment, and what has happened since it was observed."""
        now = time.monotonic()
        counts = self.counts()
        pool_size, min_idle, timeout, recycle = self._limits()
        waits = self.checkouts.waits()
        return PoolSnapshot(
            name=name,
            capacity=counts.capacity,
            in_use=counts.in_use,
            idle=counts.idle,
            waiting=counts.waiting,
            connecting=counts.connecting,
            checking=counts.checking,
            opened=counts.opened,
            closed=counts.closed,
            holders=self.checkouts.holders(now),
            at=now,
            pool_size=pool_size,
            min_idle=min_idle,
            pool_timeout=timeout,
            pool_recycle=recycle,
            oldest_waiter=max((now - wait.since for wait in waits), default=None),
            totals=self.recorder.totals(),
            timings=self.recorder.timings(),
            loop_lag=self.lag.lag(now),
            connect_trouble=self.recorder.connect_trouble(now),
            deadlocks=self.deadlocks.so_far,
            nested=self.nesting.so_far,
            threads=self.threads.threads(),
            pools=live_pools.pools_beside(self),
            unknown=self.checkouts.unknown,
        )

    def _limits(self) -> tuple[int | None, int, float | None, float | None]:
        pool = self.engine.pool
        if isinstance(pool, KeeperPool):
            options, limits = pool.options, pool.options.limits
            timeout = options.timeout if options.timeout < math.inf else None
            return limits.pool_size, limits.min_idle, timeout, options.recycle if options.recycle >= 0 else None
        stock = limits_of(pool)
        return stock.pool_size, 0, stock.timeout, stock.recycle
