"""KeeperPool: a pool for asyncio engines, with SQLAlchemy's names and manners."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Dialect, exc
from sqlalchemy.pool import Pool, PoolProxiedConnection
from sqlalchemy.pool.base import _AsyncConnDialect
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from poolkeeper.drivers import Driver, driver_of
from poolkeeper.model import CloseReason, PoolCounts, PoolObserver, Report
from poolkeeper.policy import Limits
from poolkeeper.pool import evidence
from poolkeeper.pool.home import Home
from poolkeeper.pool.observers import Register, Wait
from poolkeeper.pool.options import Options
from poolkeeper.pool.record import KeeperRecord


class Tally:
    """Connections opened and closed since the pool was made, over all its homes."""

    __slots__ = ("closed", "opened")

    def __init__(self) -> None:
        self.opened = 0
        self.closed: Counter[CloseReason] = Counter()


class KeeperPool(Pool):
    """A pool for `create_async_engine(url, poolclass=KeeperPool, ...)`. All times are seconds.

    Arguments and methods of `AsyncAdaptedQueuePool` keep their meaning: `pool_size` (0: no limit), `max_overflow` (-1:
    no limit), `recycle`, `reset_on_return`, `echo`, and so on. These act differently:

    - `timeout` is one deadline over waiting, connecting and checking.
    - `pre_ping` (on by default): every checkout looks at the driver's flag and at the socket; only a connection silent
      for `ping_after` is pinged, in at most `ping_timeout`. 0 pings at every checkout.
    - `use_lifo` is on by default, so that connections that are not needed fall idle.
    - `recycle`: connections are replaced in the background, spread over the last `recycle_jitter` of that age.
    - `max_overflow`: such a connection is closed when it was idle for `overflow_linger`.

    And beyond them: `min_idle` connections are kept open and ready, within `pool_size`; others are closed after
    `max_idle` (None: never). Idle connections are pinged every `keepalive` (None: never). At most `connects_at_once`
    connects are under way, one while the database cannot be reached. In an outage shorter than `connect_grace` callers
    wait; in a longer one, and with no connection left, they get the driver's error at once. Whoever would have to wait
    behind `max_waiting` others, or longer than `timeout`, or (with `client_timeout`, the patience of the service's own
    callers) too long for an answer in time, is refused at once with `PoolSaturated`. `observer` hears what happens.
    """

    _is_asyncio = True  # pyright: ignore[reportAssignmentType]
    _dialect = _AsyncConnDialect()
    # Loggers of pools are found under `sqlalchemy.pool`, where handlers and levels are set for them.
    _sqla_logger_namespace = "sqlalchemy.pool.KeeperPool"

    def __init__(
        self,
        creator: Any,
        pool_size: int = 5,
        max_overflow: int = 10,
        timeout: float | None = 30.0,
        use_lifo: bool = True,
        recycle: float = -1,
        pre_ping: bool = True,
        min_idle: int = 0,
        max_idle: float | None = 600.0,
        max_waiting: int | None = None,
        client_timeout: float | None = None,
        ping_after: float = 2.0,
        ping_timeout: float = 2.0,
        keepalive: float | None = 60.0,
        connects_at_once: int = 2,
        connect_grace: float = 5.0,
        recycle_jitter: float = 0.2,
        overflow_linger: float = 5.0,
        observer: PoolObserver | None = None,
        **kw: Any,
    ) -> None:
        # Age and pings are this pool's own business; SQLAlchemy's checks would do both in the caller's time.
        super().__init__(creator, recycle=-1, pre_ping=False, **kw)
        self.options = Options(
            limits=Limits(pool_size, max_overflow, min_idle, connects_at_once),
            timeout=float("inf") if timeout is None else timeout,
            use_lifo=use_lifo,
            recycle=recycle,
            pre_ping=pre_ping,
            max_idle=max_idle,
            max_waiting=max_waiting,
            client_timeout=client_timeout,
            ping_after=ping_after,
            ping_timeout=ping_timeout,
            keepalive=keepalive,
            connect_grace=connect_grace,
            recycle_jitter=recycle_jitter,
            overflow_linger=overflow_linger,
            observer=observer,
        )
        self.tally = Tally()
        self.describe_holder: Callable[[KeeperRecord], str] = _describe_holder
        self.register: Register | None = None
        self.reporter: Callable[[], Report] | None = None
        self._home: Home | None = None
        # Disposed ones live as long as somebody holds a connection of theirs.
        self._former: weakref.WeakSet[Home] = weakref.WeakSet()
        self._suspended = self._drained = False

    # What SQLAlchemy asks of a pool

    def _do_get(self) -> KeeperRecord:
        home = self._home
        if home is None or home.loop is not asyncio._get_running_loop():
            home = self._home_here()
        return home.take()

    def _do_return_conn(self, record: Any) -> None:
        record.home.take_back(record)

    def _invalidate(
        self, connection: PoolProxiedConnection, exception: BaseException | None = None, _checkin: bool = True
    ) -> None:
        evidence.weigh(self._home, getattr(connection, "_connection_record", None), exception)
        if _checkin and getattr(connection, "is_valid", False):
            connection.invalidate(exception)

    def recreate(self) -> KeeperPool:
        """A new pool with the same arguments and events, and no connections."""
        self.logger.info("Pool recreating")
        options, limits = self.options, self.options.limits
        arguments = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "limits"}
        arguments |= {field.name: getattr(limits, field.name) for field in fields(limits)}
        pool = self.__class__(
            self._creator,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            _dispatch=self.dispatch,
            dialect=self._dialect,
            **arguments,
        )
        pool.describe_holder, pool.register, pool.reporter = self.describe_holder, self.register, self.reporter
        return pool

    def dispose(self) -> None:
        """Close idle connections, and those in use when they come home. Ends when the idle ones are closed.

        Callers that wait are still served. The pool may be used again, and then starts from nothing.
        """
        home = self._leave_home()
        if home is not None and home.tasks and home.loop is asyncio._get_running_loop():
            winding_up = home.wind_up()
            await_only(winding_up) if in_greenlet() else home.spawn(winding_up, "dispose")
        # Who came meanwhile began anew here, where nobody looks any more once `Engine.dispose` has put another pool.
        self._leave_home()
        self.logger.info("Pool disposed. %s", self.status())

    def _leave_home(self) -> Home | None:
        home, self._home = self._home, None
        if home is not None:
            self._former.add(home)
            home.dispose()
        return home

    # Numbers

    @property
    def name(self) -> str:
        """How messages call this pool."""
        kind = type(self).__name__
        return f"{kind} {self._orig_logging_name}" if self._orig_logging_name else kind

    @property
    def dialect(self) -> Dialect:
        """The dialect of the engine."""
        return self._dialect  # type: ignore[return-value]

    @property
    def driver(self) -> Driver:
        """What the driver of this pool's connections can be asked for."""
        return driver_of(self.dialect)

    @property
    def capacity(self) -> int | None:
        """The most connections that may be open, None without a limit."""
        return self.options.limits.capacity

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return len(self._home.queue.waiting) if self._home else 0

    @property
    def last_connect_error(self) -> BaseException | None:
        """Why the last attempt to connect failed; None if it succeeded."""
        return self._home.outage.error if self._home else None

    def keep(self, register: Register) -> None:
        """Let this one keep the checkouts from now on, also those of the pools that `recreate()` makes."""
        self.register = register
        if self._home is not None:
            self._home.register = register

    def waits(self) -> list[Wait]:
        """Who waits, and since when."""
        return [Wait(waiter.task, waiter.since) for home in self._homes() for waiter in tuple(home.queue.waiting)]

    def _homes(self) -> list[Home]:
        return [home for home in (self._home, *self._former) if home is not None]

    def counts(self) -> PoolCounts:
        """The numbers of this moment. What was in use when the pool was disposed counts until it is closed."""
        homes = self._homes()
        return PoolCounts(
            capacity=self.capacity,
            in_use=sum(home.queue.in_use for home in homes),
            idle=sum(len(home.queue.idle) for home in homes),
            connecting=sum(home.queue.connecting for home in homes),
            checking=sum(home.queue.checking + home.queue.closing for home in homes),
            waiting=sum(len(home.queue.waiting) for home in homes),
            opened=self.tally.opened,
            closed=dict(self.tally.closed),
        )

    def size(self) -> int:
        return self.options.limits.pool_size

    def timeout(self) -> float:
        return self.options.timeout

    def checkedin(self) -> int:
        if self._home is None:
            return 0
        counts = self._home.counts()
        return counts.idle + counts.checking

    def checkedout(self) -> int:
        return self._home.queue.in_use if self._home else 0

    def overflow(self) -> int:
        if not self.size():
            return 0
        return (self._home.queue.open if self._home else 0) - self.size()

    def status(self) -> str:
        return (
            f"Pool size: {self.size()}  Connections in pool: {self.checkedin()} Current Overflow: {self.overflow()} "
            f"Current Checked out connections: {self.checkedout()}"
        )

    def __repr__(self) -> str:
        limit = "no limit" if self.capacity is None else self.capacity
        return f"<{self.name} {self.counts()} of {limit}>"

    # Live control, on the pool's event loop

    @property
    def suspended(self) -> bool:
        """Whether callers are kept waiting: see `suspend`."""
        return self._suspended

    def suspend(self) -> None:
        """Hand out nothing until `resume()`. Connections in use stay so; callers wait, within their deadlines."""
        self._set_suspended(True)

    def resume(self) -> None:
        """Serve those who wait, in their order, and everybody after them."""
        self._set_suspended(False)

    def _set_suspended(self, suspended: bool) -> None:
        self._suspended = suspended
        if self._home is not None:
            self._home.queue.suspended = suspended or self._drained
            self._home.queue.settle()

    def resize(self, pool_size: int, max_overflow: int | None = None, min_idle: int | None = None) -> None:
        """Change the bounds. Idle connections that are too many close now, others when they come home.

        What is not given stays as it is; `min_idle` follows `pool_size` down.
        """
        old = self.options.limits
        fitting = min(old.min_idle, pool_size) if pool_size else old.min_idle
        limits = replace(
            old,
            pool_size=pool_size,
            max_overflow=old.max_overflow if max_overflow is None else max_overflow,
            min_idle=fitting if min_idle is None else min_idle,
        )
        self.options = replace(self.options, limits=limits)
        if self._home is not None:
            self._home.resize(self.options)

    def renew(self) -> None:
        """Hand out none of the connections that are open now, and connect anew at once, also in an outage.

        Those in use are closed when they come home. From any thread.
        """
        if (home := self._home) is None or home.loop.is_closed():
            return
        if home.loop is asyncio._get_running_loop():
            home.renew()
        else:
            home.loop.call_soon_threadsafe(home.renew)

    async def warm_up(self, timeout: float) -> int:
        """Open `min_idle` connections, for up to `timeout` seconds; returns how many are missing then.

        Returns sooner when connects fail in a way that waiting does not cure, such as a wrong password. Opening goes on
        in the background, also if the caller is cancelled.
        """
        return await self._home_here().warm_up(timeout)

    async def drain(self, deadline: float) -> int:
        """Turn everybody away with `PoolClosed`, and wait up to `deadline` seconds for what is in use.

        Returns how many connections still are. The pool stays closed, also if the caller is cancelled.
        """
        self._drained = True
        return await self._home_here().drain(deadline)

    # Loops and processes

    def _home_here(self) -> Home:
        loop = asyncio._get_running_loop()
        home = self._home
        if home is not None and home.loop is loop:
            return home
        if loop is None:
            raise exc.MissingGreenlet(f"{self.name} was asked for a connection outside of an event loop")
        return self._move_to(loop)

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> Home:
        if (old := self._home) is not None:
            if old.pid == os.getpid() and old.loop.is_running():
                raise exc.InvalidRequestError(
                    f"{self.name} is in use on another event loop that still runs (in another thread). Connections "
                    "belong to one loop: give each loop an engine of its own"
                )
            old.move_out()
        if self._dialect is KeeperPool._dialect:
            raise exc.ArgumentError(
                f"{self.name} was made without a dialect, which says what its connections can be asked for: make it "
                "with create_async_engine or create_pool_from_url, or pass dialect="
            )
        evidence.listen(self.dialect)
        self._home = Home(self, loop)
        self._home.draining = self._drained
        self._home.queue.suspended = self._suspended or self._drained
        return self._home


def _describe_holder(record: KeeperRecord) -> str:
    name = record.holder.get_name() if record.holder is not None else "unknown"
    return f"task {name!r} for {time.monotonic() - record.taken:.3f} s"
