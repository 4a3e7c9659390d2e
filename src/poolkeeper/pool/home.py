"""Everything of a pool that belongs to one event loop in one process: its queue, its connections, its tasks.

Callers await exactly one thing, their place in the queue. Connects, pings and closes are tasks of the pool, so that
no caller's cancellation or deadline can leave one half done.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from poolkeeper.model import CloseReason, PoolCounts, PoolEvent, PoolEventKind, RefusalReason
from poolkeeper.policy import Outage, Queue
from poolkeeper.pool import liveness, problems
from poolkeeper.pool.connecting import Connecting
from poolkeeper.pool.incident import Incident
from poolkeeper.pool.line import Line, Waiter
from poolkeeper.pool.observers import deliver
from poolkeeper.pool.options import Options
from poolkeeper.pool.record import Host, KeeperRecord
from poolkeeper.pool.upkeep import Upkeep

if TYPE_CHECKING:
    from poolkeeper.pool.keeper_pool import KeeperPool


_TIME_TO_CONNECT = 0.1


class Home:
    """One pool on one event loop."""

    def __init__(self, pool: KeeperPool, loop: asyncio.AbstractEventLoop) -> None:
        self.pool, self.loop, self.options, self.driver = pool, loop, pool.options, pool.driver
        self.pid, self.thread = os.getpid(), threading.get_ident()
        options = pool.options
        self.queue: Queue[Waiter, KeeperRecord] = Queue(options.limits, self, lifo=options.use_lifo)
        self.outage = Outage(options.connect_grace)
        self.hosts: dict[object, Host] = {None: Host()}
        self.is_closed = self.driver.is_closed
        self.ping_after = options.ping_after if options.pre_ping else math.inf
        self.observed, self.register = options.observer is not None, pool.register
        self.incident = Incident(pool)
        self.draining = self.disposed = False
        # What began to open before this moment may lead where connections do not lead any more.
        self.renewed = -math.inf
        # Connections that come home need a closer look than their age: the pool shrinks, keeps no overflow, or ends.
        self.shrinking = not options.overflow_linger
        self.connect_ended, self._came_home = asyncio.Event(), asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.line = Line(self)
        self._admission = self.line.admission
        self._connecting = Connecting(self)
        self.upkeep = Upkeep(self)
        self.upkeep.start()

    # Callers

    def take(self) -> KeeperRecord:
        """A connection for the current task, at once or after waiting. See `KeeperPool.connect`."""
        register = self.register
        if self.observed:
            self.tell(PoolEventKind.REQUESTED, 0.0)
        record, waited = self.queue.take(), 0.0
        if record is None:
            if register is not None:
                register.asked()
            record, waited = self.line.wait()
        else:
            record.holder = asyncio.current_task(self.loop)
        if register is not None:
            register.taken(record, waited)
        if self.observed:
            self.tell(PoolEventKind.HANDED_OVER, waited, record)
        return record

    # Connections that come home

    def take_back(self, record: KeeperRecord) -> None:
        """From any thread: the garbage collector returns connections wherever it runs."""
        if threading.get_ident() == self.thread:
            self._returned(record)
        elif self.loop.is_closed():
            self.abandon(record)
        else:
            self.loop.call_soon_threadsafe(self._returned, record)

    def _returned(self, record: KeeperRecord) -> None:
        now = time.monotonic()
        held = now - record.taken
        record.holder = None
        record.idle_since = now
        self._admission.held(held)
        if self.register is not None:
            self.register.returned(record, held)
        if self.observed:
            self.tell(PoolEventKind.RETURNED, held, record)
        if self.draining:
            self._came_home.set()
        if record.dbapi_connection is None:
            record.account()
            self._connecting.vacant(record)
            self.queue.vanished()
            return
        if held < record.ping_after:
            # Whoever holds a connection longer may have been silent on it for as long.
            record.heard = now
        self.hand_back(record, now)

    def hand_back(self, record: KeeperRecord, now: float) -> None:
        """A connection that nobody holds any more, to the next caller or among the idle, if it may be used again."""
        if now < record.usable_until and not self.shrinking:
            self.queue.give_back(record)
            return
        record.reason = self.upkeep.retirement(record, now)
        if record.reason is None:
            self.queue.give_back(record)
        else:
            self.queue.retire(record)

    # What the queue asks for: see poolkeeper.policy.Actions

    look = staticmethod(liveness.look)

    def hand_over(self, waiter: Waiter, record: KeeperRecord) -> None:
        self.line.hand_over(waiter, record)

    def open(self) -> None:
        self._connecting.begin()

    def check(self, record: KeeperRecord) -> None:
        self.spawn(self._check(record), "ping")

    async def _check(self, record: KeeperRecord) -> None:
        alive = False
        try:
            alive = await self._connecting.ping(record)
        finally:
            if alive:
                record.heard = time.monotonic()
                self.queue.checked(record)
            else:
                record.reason = CloseReason.PING
                self.queue.failed_check(record)

    def discard(self, record: KeeperRecord) -> None:
        if not self.loop.is_running():
            self.abandon(record)
            self.queue.closed()
        else:
            self.spawn(self._close(record), "close")

    async def _close(self, record: KeeperRecord) -> None:
        try:
            await self._connecting.close(record)
        finally:
            self._connecting.vacant(record)
            self.queue.closed(reopen=record.reopen and not self.disposed)

    # Tasks

    def spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Run in the background, outside every caller's context."""
        task = self.loop.create_task(work, name=f"poolkeeper-{what}", context=Context())
        self.tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if self.disposed:
            # What was opened for a caller who has left since.
            self.close_idle(lambda _: CloseReason.DISPOSED)

    # Live control: see KeeperPool

    def resize(self, options: Options) -> None:
        self.options = options
        self.shrinking = True
        self.queue.limit(options.limits)
        self.close_idle(lambda _: CloseReason.RESIZE, self.queue.surplus)
        self.queue.settle()

    def renew(self) -> None:
        self.renewed = time.monotonic()
        self.retire_all(CloseReason.INVALIDATED)
        self._connecting.succeeded()
        self.queue.settle()

    async def warm_up(self, timeout: float) -> int:
        self.queue.settle()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._missing() and not (self.outage.is_hopeless or problems.is_full(self.outage.error)):
                    self.connect_ended.clear()
                    await self.connect_ended.wait()
        return self._missing()

    def _missing(self) -> int:
        queue, limits = self.queue, self.queue.limits
        wanted = min(limits.min_idle, max(0, limits.pool_size - queue.in_use)) if limits.pool_size else limits.min_idle
        return max(0, wanted - len(queue.idle) - queue.checking)

    async def drain(self, deadline: float) -> int:
        self.draining = self.queue.suspended = True
        self.line.send_all_away(problems.closed(self))
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                while self.queue.in_use:
                    self._came_home.clear()
                    await self._came_home.wait()
        return self.queue.in_use

    def dispose(self) -> None:
        """Close what is idle, and what is in use when it comes home. Who waits is still served, from anew."""
        self.disposed = self.shrinking = True
        self.upkeep.stop()
        self.queue.limit(replace(self.queue.limits, min_idle=0))
        self.retire_all(CloseReason.DISPOSED)

    async def wind_up(self) -> None:
        """Wait for what is being closed, and end what is being opened for nobody."""
        # Most connects are over soon, and some drivers are untidy about cancelled ones.
        await self._finish(_TIME_TO_CONNECT)
        if not self.queue.waiting:
            self._connecting.give_up()
        # What has been opened meanwhile is closed in a second round.
        for _ in range(2):
            await self._finish()

    async def _finish(self, timeout: float | None = None) -> None:
        tasks = self.tasks - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)

    def close_idle(self, reason_for: Callable[[KeeperRecord], CloseReason | None], at_most: float = math.inf) -> None:
        """Close the idle connections for which `reason_for` gives a reason, those idle longest first."""
        for record in tuple(self.queue.idle):
            if at_most <= 0:
                return
            if (reason := reason_for(record)) is not None and self.queue.withdraw(record):
                record.reason = reason
                at_most -= 1
                self.discard(record)

    def retire_all(self, reason: CloseReason, host: Host | None = None) -> None:
        """Hand out none of the open connections (to this host) any more, and close those that are idle."""
        for one in self.hosts.values() if host is None else (host,):
            one.retire(reason)
        self.close_idle(lambda record: record.retired)

    def doubt_all(self, host: Host | None = None) -> None:
        """Hand out none of the open connections (to this host) before it has answered."""
        for one in self.hosts.values() if host is None else (host,):
            one.doubt()

    def close_silent(self, host: Host) -> None:
        """Close the idle connections to this host that would have to answer first."""
        self.close_idle(lambda record: CloseReason.PING if record.host is host and record.is_doubted else None)

    def move_out(self) -> None:
        """Another loop or a child process takes over: let go of what is idle here, and of the rest as it comes home."""
        self.upkeep.stop()
        for host in self.hosts.values():
            host.retire(CloseReason.ABANDONED)
        while self.queue.idle:
            self.abandon(self.queue.idle.pop())

    def abandon(self, record: KeeperRecord) -> None:
        """Let go of a connection whose loop is gone; a parent process keeps its session."""
        if record.live:
            self.driver.abandon(record.raw, keep_session=self.pid != os.getpid())
            record.forget()

    # Numbers

    @property
    def has_connections(self) -> bool:
        queue = self.queue
        return bool(queue.idle) or queue.in_use > 0 or queue.checking > 0

    def counts(self) -> PoolCounts:
        queue, tally = self.queue, self.pool.tally
        return PoolCounts(
            capacity=queue.limits.capacity,
            in_use=queue.in_use,
            idle=len(queue.idle),
            connecting=queue.connecting,
            checking=queue.checking + queue.closing,
            waiting=len(queue.waiting),
            opened=tally.opened,
            closed=dict(tally.closed),
        )

    def oldest_holder(self) -> KeeperRecord | None:
        held = (record for record in self.records() if record.in_use)
        return min(held, key=lambda record: record.taken, default=None)

    def records(self) -> list[KeeperRecord]:
        """Every open connection."""
        return [record for host in self.hosts.values() for record in host.records]

    def host_at(self, address: object) -> Host:
        host = self.hosts.get(address)
        if host is None:
            host = self.hosts[address] = Host()
        return host

    def note(
        self,
        kind: PoolEventKind,
        seconds: float,
        record: KeeperRecord | None = None,
        reason: CloseReason | RefusalReason | None = None,
        error: BaseException | None = None,
    ) -> None:
        if self.observed or self.register is not None:
            event = PoolEvent(kind, time.monotonic(), seconds, record, reason, error)
            for hearer in (self.options.observer, self.register):
                if hearer is not None:
                    deliver(event, hearer)

    def tell(self, kind: PoolEventKind, seconds: float, record: KeeperRecord | None = None) -> None:
        """Note what the register is told otherwise."""
        if (observer := self.options.observer) is not None:
            deliver(PoolEvent(kind, time.monotonic(), seconds, record), observer)

    def note_opened(self) -> None:
        self.pool.tally.opened += 1

    def note_closed(self, record: KeeperRecord, reason: CloseReason) -> None:
        self.pool.tally.closed[reason] += 1
        self.note(PoolEventKind.CLOSED, time.monotonic() - record.born, record, reason)
