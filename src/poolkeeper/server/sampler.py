"""Looks at the server on connections of its own, for callers who must be neither delayed nor hurt by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from poolkeeper.model import Ceiling, PoolerFacts, ServerFacts
from poolkeeper.server.bounded import Blocking, Bounded, CutOff
from poolkeeper.server.looks import STATEMENT_TIMEOUT, look, refuse_serverless
from poolkeeper.server.pgbouncer import look_at_console, shut_down_console
from poolkeeper.server.problems import is_silence, problem_of, problem_of_console

T = TypeVar("T")
# The share of its time for which the server is not asked before the pooler's console has answered.
_HEAD_START = 0.2


class Commands(Protocol):
    """What an engine has under way, to be cut off."""

    def cut_off(self, task: asyncio.Task[Any], seconds: float) -> bool: ...

    def abort(self, driver_connection: Any) -> None: ...


Unpooled = tuple[AsyncEngine | Engine, Commands]


class Sampler:
    """Looks at a server now and then, never through the pool that is watched.

    `unpooled` makes an engine without a pool, of asyncio or for threads; it is called once, by the first look. A look
    takes at most `timeout` seconds, connecting included, and the server ends a statement of it that takes longer than
    `statement_timeout`. What was found, or not, is given again for `fresh_for` seconds. `console` is the URL of
    PgBouncer's console, if its queue is to be looked at too. `application` is the name of these sessions on the server;
    None leaves them that of the service's own.
    """

    def __init__(
        self,
        unpooled: Callable[[], Unpooled],
        *,
        console: str | None = None,
        application: str | None = None,
        timeout: float = 3.0,
        statement_timeout: float = STATEMENT_TIMEOUT,
        fresh_for: float = 1.0,
    ) -> None:
        self._make = unpooled
        self._console = console
        self._application = application
        self._timeout = timeout
        self._statement_timeout = statement_timeout
        self._fresh_for = fresh_for
        self._engine: Unpooled | None = None
        self._flight: _Flight | None = None
        self._found: tuple[float, ServerFacts | None] | None = None
        self.problem: str | None = None
        # Whether it was silence that the last look found.
        self.unanswered = False

    async def look(self) -> ServerFacts | None:
        """What the server says; None where it says nothing in time. Raises nothing but cancellation.

        `problem` tells then why the last look found nothing, or not all. Callers at the same time share one look, which
        ends at once when the last of them is cancelled. Where only the pooler's console answers, the facts are its
        alone, and their `version` is empty.
        """
        if self._found is not None and time.monotonic() - self._found[0] < self._fresh_for:
            return self._found[1]
        try:
            flight = self._flight
            if flight is None or not flight.can_be_joined:
                flight = self._flight = self._start()
        except Exception as error:
            return self._land(None, problem_of(error), unanswered=False)
        await flight.landed()
        if self._flight is flight:
            # The first to wake up tells the others.
            self._flight = None
            self._land(*flight.outcome, unanswered=flight.unanswered)
        return flight.outcome[0]

    def _land(self, facts: ServerFacts | None, problem: str | None, *, unanswered: bool) -> ServerFacts | None:
        self.problem, self.unanswered = problem, unanswered
        self._found = time.monotonic(), facts
        return facts

    def _start(self) -> _Flight:
        engine, commands = self._engine = self._engine or self._made()
        console = None if self._console is None else self._ask_console(engine, self._console)
        if isinstance(engine, AsyncEngine):
            work = partial(self._in_task, engine)
            cut_off: CutOff = partial(commands.cut_off, seconds=self._timeout)
        else:
            thread = Blocking(commands.abort)
            work, cut_off = partial(self._in_thread, engine, thread), thread.cut_off
        server = Bounded(_after(console, self._timeout * _HEAD_START, work), self._timeout, cut_off)
        return _Flight(engine.dialect.name, server, console, self._timeout)

    def _made(self) -> Unpooled:
        engine, commands = self._make()
        refuse_serverless(engine.dialect)
        if isinstance(engine, Engine):
            # Before SQLAlchemy's own listener, which asks a first connection who the server is.
            event.listen(engine, "connect", connected, insert=True)
        return engine, commands

    async def _in_task(self, engine: AsyncEngine) -> ServerFacts:
        connection = await engine.connect()
        try:
            return await connection.run_sync(self._look)
        finally:
            # Not by leaving a block, which closes in another task: that one would not be cut off.
            await connection.close()

    async def _in_thread(self, engine: Engine, thread: Blocking) -> ServerFacts:
        def work() -> ServerFacts:
            with engine.connect() as connection:
                return self._look(connection)

        return await thread.run(work)

    def _look(self, connection: Connection) -> ServerFacts:
        return look(connection, self._application, statement_timeout=self._statement_timeout)

    def _ask_console(self, engine: AsyncEngine | Engine, url: str) -> Bounded[PoolerFacts | None]:
        database, user = engine.url.database or engine.url.username or "", engine.url.username
        thread = Blocking(shut_down_console)
        work = thread.run(lambda: look_at_console(url, database, user, Blocking.connected_here))
        return Bounded(work, self._timeout, thread.cut_off)


def connected(driver_connection: Any, _record: object) -> None:
    """Listens to a blocking engine's connects, for `Blocking`."""
    Blocking.connected_here(driver_connection)


async def _after(first: Bounded[Any] | None, seconds: float, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work` when `first` has ended, or else after `seconds`: the pooler's queue is seen before we join it."""
    if first is not None:
        await asyncio.wait({first.task}, timeout=seconds)
    return await work()


class _Flight:
    """One look under way, and how many wait for it."""

    def __init__(
        self,
        kind: str,
        server: Bounded[ServerFacts],
        console: Bounded[PoolerFacts | None] | None,
        timeout: float,
    ) -> None:
        self._kind = kind
        self._server = server
        self._console = console
        self._timeout = timeout
        self._waiting = 0

    @property
    def can_be_joined(self) -> bool:
        """Whether it is under way on this event loop; one that was ended because its callers left is not."""
        return self._server.loop is asyncio.get_running_loop() and self._waiting > 0

    async def landed(self) -> None:
        """Wait for the end of it. Raises `CancelledError` only where the caller is cancelled."""
        self._waiting += 1
        try:
            await asyncio.wait({part.task for part in self._parts})
        finally:
            self._waiting -= 1
            if not self._waiting:
                for part in self._parts:
                    part.end()

    @property
    def _parts(self) -> tuple[Bounded[Any], ...]:
        return (self._server,) if self._console is None else (self._server, self._console)

    @cached_property
    def outcome(self) -> tuple[ServerFacts | None, str | None]:
        """The facts, and what was in the way of them; both where one part failed. Call it when it has landed."""
        pooler = None
        problems: list[str] = []
        if (error := self._server.error()) is not None:
            problems.append(problem_of(self._named(error)))
        if self._console is not None:
            if (error_there := self._console.error()) is not None:
                problems.append(problem_of_console(self._named(error_there)))
            else:
                pooler = self._console.task.result()
        return self._facts(pooler, seen=error is None), "; ".join(problems) or None

    @property
    def unanswered(self) -> bool:
        """Whether the server let it wait until its time was over. Ask when it has landed."""
        return is_silence(self._server.error())

    def _named(self, error: BaseException) -> BaseException:
        late = isinstance(error, TimeoutError) and not str(error)
        return TimeoutError(f"no answer within {self._timeout:g} s") if late else error

    def _facts(self, pooler: PoolerFacts | None, *, seen: bool) -> ServerFacts | None:
        if seen:
            return replace(self._server.task.result(), pooler=pooler)
        if pooler is None:
            return None
        return ServerFacts(self._kind, "", time.monotonic(), Ceiling(None, 0), pooler=pooler)
