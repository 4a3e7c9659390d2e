"""`Database`: one database of a service, with its engines, sessions, numbers and shutdown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from dataclasses import replace
from enum import StrEnum
from functools import cached_property, partial
from typing import Any, Self

from sqlalchemy import URL, Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from poolkeeper.database.connectivity import Connectivity
from poolkeeper.database.door import Door
from poolkeeper.database.drain import drain
from poolkeeper.database.engines import DEFAULT_NAME, Engines
from poolkeeper.database.explaining import Explanation
from poolkeeper.database.local_settings import LocalSettings, SetLocal
from poolkeeper.database.ping import ping_within
from poolkeeper.database.primary import CONFIGURED
from poolkeeper.database.replicas import Replica, planned, with_replicas
from poolkeeper.database.retrying import Retrying
from poolkeeper.database.routing import Router, reading, writing
from poolkeeper.database.run import AsyncWork, P, R, Runner, SyncWork, Terms
from poolkeeper.database.said import log_missing, log_settings
from poolkeeper.database.sessions import async_unit_of_work, sync_unit_of_work
from poolkeeper.database.watchers import Watchers
from poolkeeper.engine import Password
from poolkeeper.errors import PoolClosed
from poolkeeper.model import Finding, PoolSnapshot, Position, ReplicaView
from poolkeeper.settings import DatabaseSettings
from poolkeeper.settings.effective import Kind


class State(StrEnum):
    """Where a `Database` stands. It gives out sessions in every state but CLOSED."""

    NEW = "new"
    READY = "ready"
    DRAINING = "draining"
    CLOSED = "closed"


class Database:
    """A database as a service uses it: bounded engines, sessions that cannot lie about a commit, one shutdown.

    `Database("postgresql+asyncpg://...", profile="high-traffic")`, or settings made elsewhere, or `from_env()`. The
    keywords are the fields of `DatabaseSettings`. `replicas` get what is read: URLs, or `Replica` where one has a
    weight or settings of its own; else those of `replica_urls`. `password` is a callable, sync or async, that is asked
    for the password of each connection in place of the URL's; replicas share it. `set_local` is called at the begin of
    each transaction of its sessions for the settings of PostgreSQL that hold there. Raises `SettingsRefused` with every
    problem at once. Nothing is connected before the first use.
    """

    def __init__(
        self,
        url: str | URL | DatabaseSettings | None = None,
        *,
        name: str = DEFAULT_NAME,
        replicas: Sequence[str | URL | Replica] = (),
        session_class: type[AsyncSession] = AsyncSession,
        password: Password | None = None,
        set_local: Callable[[], LocalSettings | None] | None = None,
        **settings: Any,
    ) -> None:
        given = with_replicas(url, replicas, settings)
        self.settings = given.resolve()
        self._local = SetLocal(self.settings.url.dialect, set_local)
        self.state = State.NEW
        self.connectivity = Connectivity()
        self.door = Door(self.settings.capacity, self.settings.pool_timeout)
        hosts = planned(given, self.settings, replicas, password)
        self._engines = Engines(
            self.settings, self.connectivity.report, session_class, routed=bool(hosts), password=password
        )
        self._name = self._engines.name = name
        # Decides where reads go; None where there are no replicas.
        self.router = Router(lambda: self.name, self.settings, self._engines, hosts) if hosts else None
        self._retrying = self._engines.retrying = Retrying(self.settings, lambda: self.name)
        self._watchers = Watchers(name, self.settings, self._engines, self.snapshot, lambda: self.replicas)
        self.explaining = self._watchers.explaining
        self.door.reporter = self.explaining.report
        # Tokens, not a number: threads of a sync engine meet here, and `+=` would lose some of them.
        self._sessions: set[object] = set()

    @classmethod
    def from_env(cls, *, name: str = DEFAULT_NAME, **settings: Any) -> Self:
        """A database configured by `DATABASE_*` environment variables; arguments win over them."""
        return cls(name=name, **settings)

    @property
    def name(self) -> str:
        """What it is called in errors, logs, metrics and on the page. Change it before anything is connected."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = self._engines.name = name
        self._watchers.call(name)

    def expect(self, kind: Kind) -> None:
        """Say that the service is going to use its engine of this kind ("async", "sync").

        Of a driver that serves both, such as psycopg, `start()` warms up the pool for asyncio only if that is expected,
        and `ping()` does not make an engine that is not.
        """
        self._engines.expect(kind)
        if self.router is not None:
            self.router.expect(kind)

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's `AsyncEngine`. Raises `SettingsRefused` if the URL's driver is not an asyncio one."""
        return self._engines.asyncio

    @property
    def sync_engine(self) -> Engine:
        """SQLAlchemy's `Engine` for threads, with a pool of its own. Raises `SettingsRefused` for an asyncio driver."""
        return self._engines.threads

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of the settings, and a pooler that they do not name, or in another mode, once one was met."""
        return self._engines.pooler.amended(self.settings.findings)

    @property
    def replicas(self) -> tuple[ReplicaView, ...]:
        """Each replica: whether it gets reads, how far it is behind, and the numbers of its pool."""
        return () if self.router is None else self.router.views()

    @property
    def primary(self) -> str:
        """The host that writes go to: "primary", as configured, or the name of a replica that was promoted."""
        return CONFIGURED if self.router is None else self.router.primary.name

    @asynccontextmanager
    async def session(
        self, *, set_local: LocalSettings | None = None, owner: str = "its `async with` block"
    ) -> AsyncGenerator[AsyncSession]:
        """A session for one unit of work: committed on success, rolled back on any exception, cancellation included.

        A failing COMMIT raises. `set_local` are settings of PostgreSQL for its transactions, as SET LOCAL gives them;
        the server ends them with each. `owner` is what the session ends with, as told to whoever uses it later. Raises
        `PoolClosed` after shutdown, `InvalidRequestError` for `set_local` elsewhere.
        """
        write, _ = self._engines.asyncio_makers
        options = self._local.added(writing(self.router), set_local)
        with self._counted():
            async with async_unit_of_work(partial(write, **options), owner, commit=True) as session:
                yield session

    @asynccontextmanager
    async def read_session(
        self,
        *,
        after: Position | None = None,
        set_local: LocalSettings | None = None,
        owner: str = "its `async with` block",
    ) -> AsyncGenerator[AsyncSession]:
        """A session that only reads, and refuses writes with `ReadOnlySession` before anything is sent.

        On PostgreSQL and SQLite each statement is a transaction of its own and one round trip; two statements may see
        different moments. With replicas, all go to one of them: chosen when the first statement needs a connection, by
        load and weight, among those that show what this task, and `after`, has written. Where there is none within
        `replica_wait` seconds, and before `start()`, it is the primary. With `set_local` it is one read-only
        transaction.
        """
        _, read = self._engines.asyncio_makers
        with self._counted(), reading(self.router, "async", after) as options:
            make = partial(read, **self._local.added(options, set_local))
            async with async_unit_of_work(make, owner, commit=False) as session:
                yield session

    @contextmanager
    def sync_session(
        self, *, set_local: LocalSettings | None = None, owner: str = "its `with` block"
    ) -> Generator[Session]:
        """`session()` for threads."""
        write, _ = self._engines.thread_makers
        make = partial(write, **self._local.added(writing(self.router), set_local))
        with self._counted(), sync_unit_of_work(make, owner, commit=True) as session:
            yield session

    @contextmanager
    def sync_read_session(
        self,
        *,
        after: Position | None = None,
        set_local: LocalSettings | None = None,
        owner: str = "its `with` block",
    ) -> Generator[Session]:
        """`read_session()` for threads."""
        _, read = self._engines.thread_makers
        with (
            self._counted(),
            reading(self.router, "sync", after) as options,
            sync_unit_of_work(partial(read, **self._local.added(options, set_local)), owner, commit=False) as session,
        ):
            yield session

    async def run(self, work: AsyncWork[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `work(session, *args, **kwargs)` as one transaction, and all of it again where that is safe.

        It is tried again, up to `retry_attempts` times and within `retry_budget`, after a serialization failure, a
        deadlock, a connection that broke before COMMIT was sent, and a server that refuses or takes no writes for now;
        each time in a new session, which is committed at the end. What else `work` does happens again too. Any other
        error is raised as it came, and `CommitUnknown` where the answer to COMMIT was lost. `transactional()` takes
        a deadline, and somebody to ask then.
        """
        return await self._runner.run(Terms(), work, args, kwargs)

    def sync_run(self, work: SyncWork[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`run()` for threads: `work` takes a `Session` and blocks."""
        return self._runner.sync_run(Terms(), work, args, kwargs)

    def transactional(
        self,
        *,
        attempts: int | None = None,
        deadline: float | None = None,
        applied: Callable[..., Awaitable[bool]] | None = None,
    ) -> Callable[[AsyncWork[P, R]], Callable[P, Coroutine[Any, Any, R]]]:
        """A decorator: the function is called without its first argument, the session, and runs as with `run()`.

        `attempts` is `retry_attempts` unless given. `deadline` bounds everything in seconds, waits included: it ends
        the attempt under way with `TimeoutError`, or with `CommitUnknown` in the middle of a COMMIT. `applied` is asked
        when the answer to COMMIT was lost: it is called as the function is, with a session of its own, and tells
        whether the work was done. It has to look for something that the work writes under a unique key, because that
        COMMIT may still be on its way.
        """
        terms = Terms(attempts, deadline, applied)
        return lambda work: self._runner.asyncio(terms, work)

    def sync_transactional(
        self,
        *,
        attempts: int | None = None,
        deadline: float | None = None,
        applied: Callable[..., bool] | None = None,
    ) -> Callable[[SyncWork[P, R]], Callable[P, R]]:
        """`transactional()` for threads. The deadline bounds waits and further attempts, and interrupts no thread."""
        terms = Terms(attempts, deadline, applied)
        return lambda work: self._runner.threads(terms, work)

    @cached_property
    def _runner(self) -> Runner:
        return Runner(self, self._retrying, self._engines.cut_off)

    async def position(self) -> Position:
        """What a reader elsewhere has to see to see everything that is committed by now: for `read_session(after=)`.

        `str()` and `Position.parse` carry it in a message. One round trip to the primary, two on MariaDB and MySQL.
        Where that tells no place, it keeps readers on the primary for `max_lag` seconds; without replicas it asks for
        nothing.
        """
        return Position() if self.router is None else await self.router.position()

    def snapshot(self) -> PoolSnapshot:
        """What the pool is doing now, and who holds its connections."""
        pool = self._engines.snapshot(self.name)
        return replace(pool, waiting=pool.waiting + self.door.waiting, retries=self._retrying.retries())

    async def explain(self) -> Explanation:
        """Why callers wait for connections or fail to get one, the likeliest cause first; nothing where all is well.

        The server is looked at over a connection of its own, in 3 seconds at most. It raises nothing of the database's:
        `problem` tells why the server could not be looked at.
        """
        return await self.explaining.explain()

    async def ping(self, timeout: float | None = None) -> float:
        """The seconds that a `SELECT 1` takes, or raises what the database answers.

        `timeout` bounds all of it, connecting included, and is `health_timeout` unless given; raises `TimeoutError`.
        A pool that is in use to its last connection is left alone: the ping opens a connection of its own then.
        """
        engine, commands = self._engines.unpooled() if self._engines.exhausted else self._engines.working()
        try:
            return await ping_within(self.settings.health_timeout if timeout is None else timeout, engine, commands)
        except TimeoutError:
            # A pool lets its callers wait while connects fail; here the reason is what is asked for.
            if self.connectivity.failure is not None:
                raise copy(self.connectivity.failure) from self.connectivity.failure
            raise

    async def probe(self, timeout: float | None = None) -> float:
        """`ping()` over a new connection that never touches the pool."""
        engine, commands = self._engines.unpooled()
        return await ping_within(self.settings.health_timeout if timeout is None else timeout, engine, commands)

    async def start(self) -> None:
        """Log the effective settings with their origins, and the warnings, secrets masked; then open `min_idle`
        connections.

        The service starts after `warm_up_timeout` seconds even where some are missing, or sooner where waiting does not
        help (a wrong password, a full server), with a warning that says how many and why; they are opened in the
        background, as they are if this is cancelled. Sessions are given out meanwhile; the state is READY at the end.
        """
        if self.state is State.CLOSED:
            self._engines.reopen()
            self.door.open()
        self.state = State.NEW
        self._watchers.start()
        log_settings(self.name, self.settings)
        if self.router is None:
            await self._warm_up()
        else:
            self.router.start()
            await asyncio.gather(self._warm_up(), self.router.warm_up(self.settings.warm_up_timeout))
        # A shutdown may have begun meanwhile.
        if self.state is State.NEW:
            self.state = State.READY

    async def _warm_up(self) -> None:
        seconds = self.settings.warm_up_timeout
        began = time.monotonic()
        missing, error = await self._engines.warm_up(seconds)
        if missing and seconds:
            log_missing(self.name, missing, self.settings.min_idle, time.monotonic() - began, error)

    def begin_shutdown(self) -> None:
        """Note that a shutdown has begun: readiness turns, while requests in flight still get their sessions."""
        if self.state is not State.CLOSED:
            self.state = State.DRAINING

    def suspend(self) -> None:
        """Hand out no connection until `resume()`, as for a planned failover; call it on the service's event loop.

        Who has a connection keeps it, who asks waits, within `pool_timeout`: `def` endpoints before they take a thread.
        Reads on replicas go on. Raises `sqlalchemy.exc.InvalidRequestError` for a pool that cannot wait: one of your
        own, or with `pool=null`.
        """
        self._engines.suspend()
        self.door.shut()

    def resume(self) -> None:
        """Serve those who wait, in their order, and everybody after them, over new connections: the primary may be
        another now. It is waited for: with replicas, several hosts in the URL, or a name that led to one before."""
        self._engines.settle_anew()
        self._engines.resume()
        self.door.open()

    def resize(self, pool_size: int, max_overflow: int | None = None, min_idle: int | None = None) -> None:
        """Change the bounds of the pool for asyncio while it runs.

        What is not given stays, and `min_idle` follows `pool_size` down. What is too many closes when it is idle.
        `settings` go on telling what the service started with. Raises `InvalidRequestError` for another kind of pool.
        """
        self._engines.keeper_pool.resize(pool_size, max_overflow, min_idle)

    async def close(self, deadline: float | None = None) -> bool:
        """Refuse new sessions, wait up to `deadline` seconds for those that are open, close every connection.

        `deadline` is `drain_timeout` unless given. Returns whether all work ended by itself; what did not is logged
        with its route, and cut off. A cancellation ends the wait and still closes what is home. `start()` reopens.
        """
        self.state = State.CLOSED
        seconds = self.settings.drain_timeout if deadline is None else deadline
        of_replicas = [] if self.router is None else self.router.pooled
        try:
            return await drain([*self._engines.pooled, *of_replicas], lambda: len(self._sessions), seconds, self.name)
        finally:
            await self._watchers.stop()
            if self.router is not None:
                await self.router.close()
            await self._engines.dispose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        pool = self.snapshot()
        limit = "no limit" if pool.capacity is None else pool.capacity
        return (
            f"<Database {self.name} {self.state}: {pool.in_use} in use, {pool.idle} idle, {pool.waiting} waiting of "
            f"{limit}, {self.settings.url}>"
        )

    @contextmanager
    def _counted(self) -> Generator[None]:
        if self.state is State.CLOSED:
            raise PoolClosed(
                f"Database {self.name!r} is shut down and gives out no sessions until it is started again."
            )
        token = object()
        self._sessions.add(token)
        try:
            yield
        finally:
            self._sessions.discard(token)
