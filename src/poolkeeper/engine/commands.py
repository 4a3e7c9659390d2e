"""What is under way on each connection: a deadline for every answer, and no second task in the middle of the first.

The dialect's own methods are wrapped, because they are where a command begins and ends, for every driver alike.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.engine import ExceptionContext

from poolkeeper.drivers import Driver, WatchedCursor
from poolkeeper.engine.deadlines import Cancel, Timers
from poolkeeper.errors import CommandTimeout, ConcurrentSessionUse
from poolkeeper.pool import note_answer

_STATEMENTS = ("do_execute", "do_executemany", "do_execute_no_params")
_ENDINGS = ("do_commit", "do_rollback")
# Some drivers do these without their server.
_OTHERS = ("set_isolation_level", "reset_isolation_level", "do_close")


class Command:
    """One round trip under way, and who waits for it."""

    __slots__ = ("connection", "cut_off_after", "stop_clock", "task", "thread")

    def __init__(self, task: asyncio.Task[Any] | None, connection: Any) -> None:
        self.task = task
        self.thread = "" if task is not None else threading.current_thread().name
        self.connection = connection
        self.stop_clock: Cancel | None = None
        self.cut_off_after: float | None = None

    def mark(self, error: Exception) -> None:
        """Say on the error of a command that was cut off after how long.

        The mark travels on the error: SQLAlchemy must still see the driver's own type, to know that the connection is
        gone.
        """
        if self.cut_off_after is not None:
            error.poolkeeper_cut_off_after = self.cut_off_after  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return f"task {self.task.get_name()!r}" if self.task is not None else f"thread {self.thread!r}"


class Commands:
    """The commands under way on the connections of one engine.

    `timeout` is in seconds; None waits for ever. A ping gets `ping_timeout`, if that is less. When it passes, the
    connection is cut off and the command fails with `CommandTimeout`. A COMMIT or ROLLBACK that meets another task's
    statement on a driver without a lock of its own fails with `ConcurrentSessionUse`, and the connection is discarded:
    it would go back to the pool with a transaction open and fail every later request that gets it.
    """

    def __init__(self, driver: Driver, timers: Timers, timeout: float | None, ping_timeout: float) -> None:
        self._driver = driver
        self._timers = timers
        self._timeout = timeout
        self._ping_timeout = ping_timeout if timeout is None else min(timeout, ping_timeout)
        self._running: dict[int, list[Command]] = {}
        # How many commands were answered. Threads may lose some in `+=`, never all.
        self.answers = 0

    def watch(self, engine: Engine) -> None:
        """Wrap the dialect of this engine."""
        for name in _STATEMENTS:
            self._wrap(engine.dialect, name, _connection_of_statement, exclusive=False)
        for name in _ENDINGS:
            self._wrap_ending(engine.dialect, name)
        for name in _OTHERS:
            self._wrap(engine.dialect, name, driver_connection, exclusive=False, is_answered=False)
        self._wrap(engine.dialect, "do_ping", driver_connection, exclusive=False, timeout=self._ping_timeout)
        event.listen(engine, "after_cursor_execute", self._answered)
        event.listen(engine, "handle_error", self._translate, retval=True)

    def abort(self, driver_connection: Any) -> None:
        """Cut a connection off now; whoever awaits an answer on it gets a disconnect error."""
        self._driver.abort(driver_connection)

    def abort_all(self) -> None:
        """Cut off every connection that awaits an answer. On the engine's event loop, if it has one."""
        self.abort_those(self.under_way())

    def under_way(self) -> frozenset[Command]:
        """What awaits an answer now."""
        return frozenset(command for commands in tuple(self._running.values()) for command in tuple(commands))

    def abort_those(self, commands: frozenset[Command]) -> int:
        """Cut off the connections of those that still await their answer; returns how many do. As `abort_all()`."""
        late = commands & self.under_way()
        for command in late:
            self._driver.abort(command.connection)
        return len(late)

    def cut_off(self, task: asyncio.Task[Any], seconds: float) -> bool:
        """Fail what this task awaits on its connections with `CommandTimeout(seconds)`; False if it awaits nothing.

        Cancelling the task instead would make some drivers ask the silent server to cancel, and wait for that: up to
        2 s with asyncpg and 10 s with psycopg 3.3, measured.
        """
        awaited = [command for commands in self._running.values() for command in commands if command.task is task]
        for command in awaited:
            self._cut_off(command, seconds)
        return bool(awaited)

    def _wrap_ending(self, dialect: Dialect, name: str) -> None:
        """A checkout that executed nothing ends with nothing to send, and pays for no guard."""
        unguarded = getattr(dialect, name)
        self._wrap(dialect, name, driver_connection, exclusive=not self._driver.serialises_commands)
        guarded, running, is_in_transaction = getattr(dialect, name), self._running, self._driver.is_in_transaction

        def end(dbapi_connection: Any) -> None:
            raw = driver_connection(dbapi_connection)
            if id(raw) in running or is_in_transaction(raw):
                guarded(dbapi_connection)
            else:
                unguarded(dbapi_connection)

        setattr(dialect, name, end)

    def _wrap(
        self,
        dialect: Dialect,
        name: str,
        connection_of: Callable[..., Any],
        *,
        exclusive: bool,
        timeout: float | None = None,
        is_answered: bool = True,
    ) -> None:
        method = getattr(dialect, name)
        begin, end, answers = self._begin, self._end, int(is_answered)

        # No context manager: this surrounds every command of the service.
        def guarded(*args: Any, **kwargs: Any) -> Any:
            command = begin(connection_of(*args, **kwargs), exclusive=exclusive, timeout=timeout)
            try:
                answer = method(*args, **kwargs)
            except Exception as error:
                command.mark(error)
                raise
            else:
                self.answers += answers
                return answer
            finally:
                end(command)

        setattr(dialect, name, guarded)

    @contextmanager
    def _under_way(self, connection: Any) -> Generator[None]:
        command = self._begin(connection, exclusive=False, timeout=None)
        try:
            yield
        except Exception as error:
            command.mark(error)
            raise
        else:
            self.answers += 1
        finally:
            self._end(command)

    def _begin(self, connection: Any, *, exclusive: bool, timeout: float | None) -> Command:
        command = Command(_current_task(), connection)
        others = self._running.setdefault(id(connection), [])
        if others and exclusive:
            raise _met(command, others[0])
        others.append(command)
        seconds = timeout or self._timeout
        if seconds is not None:
            command.stop_clock = self._timers.call_later(seconds, partial(self._cut_off, command, seconds))
        return command

    def _end(self, command: Command) -> None:
        if command.stop_clock is not None:
            command.stop_clock()
        key = id(command.connection)
        others = self._running[key]
        others.remove(command)
        if not others:
            del self._running[key]

    def _answered(self, connection: Connection, _cursor: Any, *statement: Any) -> None:
        note_answer(connection.connection)
        context = statement[2]
        if context.execution_options.get("stream_results"):
            raw = context.root_connection.connection.driver_connection
            # Not the given one: somebody else may watch it too.
            context.cursor = WatchedCursor(context.cursor, partial(self._under_way, raw))

    def _cut_off(self, command: Command, seconds: float) -> None:
        command.cut_off_after = seconds
        self._driver.abort(command.connection)

    def _translate(self, context: ExceptionContext) -> BaseException | None:
        error = context.original_exception
        seconds: float | None = getattr(error, "poolkeeper_cut_off_after", None)
        if seconds is not None or isinstance(error, ConcurrentSessionUse):
            context.is_disconnect = True
            # The fault is this connection's alone; its siblings are healthy.
            context.invalidate_pool_on_disconnect = False
        return None if seconds is None else CommandTimeout(seconds, error)


def _connection_of_statement(_cursor: Any, _statement: str, *parameters_and_context: Any, **named: Any) -> Any:
    context = named["context"] if "context" in named else parameters_and_context[-1]
    return context.root_connection.connection.driver_connection


def driver_connection(dbapi_connection: Any, *_args: Any, **_kwargs: Any) -> Any:
    # A pool proxy or an async adapter has it; a sync driver's connection is it.
    found = getattr(dbapi_connection, "driver_connection", dbapi_connection)
    # A detached proxy knows only the adapter.
    return found if found is not None else driver_connection(dbapi_connection.dbapi_connection)


def _met(late: Command, early: Command) -> ConcurrentSessionUse:
    return ConcurrentSessionUse(
        f"{late} ended the transaction while {early} was still executing a statement in it. One session "
        "serves one task: open a session of its own in each (`async with db.session()`)."
    )


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
