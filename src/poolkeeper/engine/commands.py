"""What is under way on each connection: a deadline for every answer, and no second task in the middle of the first.

The dialect's own methods are wrapped, because they are where a command begins and ends, for every driver alike.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import ExceptionContext

from poolkeeper.drivers import Driver
from poolkeeper.engine.deadlines import Timers
from poolkeeper.errors import CommandTimeout, ConcurrentSessionUse

_STATEMENTS = ("do_execute", "do_executemany", "do_execute_no_params")
_ENDINGS = ("do_commit", "do_rollback")
_OTHERS = ("do_ping", "set_isolation_level", "reset_isolation_level")


@dataclass(slots=True, eq=False)
class Command:
    """One round trip under way, and who waits for it."""

    task: str
    expired: bool = False


class Commands:
    """The commands under way on the connections of one engine.

    `timeout` is in seconds; None waits for ever. When it passes, the connection is cut off and the command fails with
    `CommandTimeout`. A COMMIT or ROLLBACK that meets another task's statement on a driver without a lock of its own
    fails with `ConcurrentSessionUse`, and the connection is discarded: it would go back to the pool with a transaction
    open and fail every later request that gets it.
    """

    def __init__(self, driver: Driver, timers: Timers, timeout: float | None) -> None:
        self._driver = driver
        self._timers = timers
        self._timeout = timeout
        self._running: dict[int, list[Command]] = {}

    def watch(self, engine: Engine) -> None:
        """Wrap the dialect of this engine."""
        for name in _STATEMENTS:
            self._wrap(engine.dialect, name, _connection_of_statement, exclusive=False)
        for name in _ENDINGS:
            self._wrap(engine.dialect, name, _driver_connection, exclusive=not self._driver.serialises_commands)
        for name in _OTHERS:
            self._wrap(engine.dialect, name, _driver_connection, exclusive=False)
        event.listen(engine, "handle_error", self._translate, retval=True)

    def _wrap(self, dialect: Dialect, name: str, connection_of: Callable[..., Any], *, exclusive: bool) -> None:
        method = getattr(dialect, name)

        def guarded(*args: Any, **kwargs: Any) -> Any:
            with self._under_way(connection_of(*args, **kwargs), exclusive=exclusive):
                return method(*args, **kwargs)

        setattr(dialect, name, guarded)

    @contextmanager
    def _under_way(self, connection: Any, *, exclusive: bool) -> Generator[None]:
        key = id(connection)
        others = self._running.setdefault(key, [])
        command = Command(task=_current_task_name())
        if exclusive and others:
            raise _met(command, others[0])
        others.append(command)
        cancel = self._deadline(command, connection)
        try:
            yield
        except Exception as error:
            if command.expired:
                # The marker travels on the error, since SQLAlchemy must still see the driver's own type to know that
                # the connection is gone.
                error.poolkeeper_expired = True  # type: ignore[attr-defined]
            raise
        finally:
            cancel()
            others.remove(command)
            if not others:
                self._running.pop(key, None)

    def _deadline(self, command: Command, connection: Any) -> Callable[[], None]:
        if self._timeout is None:
            return _nothing

        def expire() -> None:
            command.expired = True
            self._driver.abort(connection)

        return self._timers.call_later(self._timeout, expire)

    def _translate(self, context: ExceptionContext) -> BaseException | None:
        error = context.original_exception
        if isinstance(error, ConcurrentSessionUse):
            _discard_connection(context)
        elif self._timeout is not None and getattr(error, "poolkeeper_expired", False):
            _discard_connection(context)
            return CommandTimeout(self._timeout, error)
        return None


def _discard_connection(context: ExceptionContext) -> None:
    context.is_disconnect = True
    # The fault is this connection's alone; its siblings are healthy.
    context.invalidate_pool_on_disconnect = False


def _connection_of_statement(_cursor: Any, _statement: str, *parameters_and_context: Any, **named: Any) -> Any:
    context = named["context"] if "context" in named else parameters_and_context[-1]
    return context.root_connection.connection.driver_connection


def _driver_connection(dbapi_connection: Any, *_args: Any, **_kwargs: Any) -> Any:
    # A pool proxy or an async adapter has it; a sync driver's connection is it.
    return getattr(dbapi_connection, "driver_connection", dbapi_connection)


def _met(late: Command, early: Command) -> ConcurrentSessionUse:
    return ConcurrentSessionUse(
        f"{late.task} ended the transaction while {early.task} was still executing a statement in it. One session "
        "serves one task: open a session of its own in each (`async with db.session()`)."
    )


def _current_task_name() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return f"task {task.get_name()!r}" if task is not None else f"thread {threading.current_thread().name!r}"


def _nothing() -> None:
    return None
