"""A password that is asked for at each connect, because it changes while the service runs."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.util import await_only, greenlet_spawn

from poolkeeper.drivers import PasswordError, classify_connect_failure, within
from poolkeeper.errors import ConnectFailure

Password = Callable[[], str | Awaitable[str]]
T = TypeVar("T")

_FIRST_PAUSE = 0.05


class Passwords:
    """Asks `ask` for the password of each connection. All times are seconds.

    Asking and connecting have `timeout` together. An async `ask` is awaited on the event loop that connects, or on one
    of its own where a thread does; any other is called in a thread, so that it may block.

    Role and store never change at the same moment. A refused password, or none, is therefore asked for again, with
    growing pauses and within that time, while the one before it was good. The first of all gets no grace. Raises
    `TypeError` for what cannot be called.
    """

    def __init__(self, ask: Password, timeout: float) -> None:
        if not callable(ask):
            raise TypeError("password is a callable that returns one; a fixed password belongs into the URL")
        self._ask = ask
        self._timeout = timeout
        self._was_good = False

    def fill_in(self, dialect: Dialect) -> None:
        """Have this dialect connect with these passwords, in place of the URL's.

        The dialect's own `connect` is wrapped: a `do_connect` listener could not try again.
        """
        plain_connect = dialect.connect

        def connect(*args: Any, **kwargs: Any) -> DBAPIConnection:
            return self._connect(lambda word: plain_connect(*args, **{**kwargs, "password": word}), dialect.is_async)

        dialect.connect = connect  # type: ignore[method-assign]

    def _connect(self, attempt: Callable[[str], DBAPIConnection], is_async: bool) -> DBAPIConnection:
        end, pause = time.monotonic() + self._timeout, _FIRST_PAUSE
        while True:
            try:
                connection = self._until(end, partial(attempt, self._asked(end, is_async)), is_async)
            except Exception as error:
                if classify_connect_failure(error) is not ConnectFailure.AUTHENTICATION or not self._was_good:
                    raise
                if time.monotonic() + pause >= end:
                    # From now on callers learn of it at once.
                    self._was_good = False
                    raise
            else:
                self._was_good = True
                return connection
            # Not above: the error holds on to a half-open connection.
            await_only(asyncio.sleep(pause)) if is_async else time.sleep(pause)
            pause *= 2

    def _until(self, end: float, attempt: Callable[[], DBAPIConnection], is_async: bool) -> DBAPIConnection:
        try:
            if is_async:
                return await_only(_in_time(_left(end), attempt))
            return within(_left(end), attempt, lambda late: late.close())
        except TimeoutError as error:
            if str(error):
                raise
            raise TimeoutError(
                f"no connection within connect_timeout = {self._timeout:g} s, with asking for the password"
            ) from error

    def _asked(self, end: float, is_async: bool) -> str:
        left = _left(end)
        try:
            word = await_only(self._awaited(left)) if is_async else within(left, self._blocking, _nothing)
        except TimeoutError:
            raise PasswordError(
                f"the password callable gave no answer within connect_timeout = {self._timeout:g} s"
            ) from None
        if isinstance(word, str) and word:
            return word
        # What it is instead may be half of a secret.
        raise PasswordError(f"the password callable returned {_described(word)} where a password was needed")

    async def _awaited(self, seconds: float) -> object:
        async with asyncio.timeout(seconds):
            try:
                if _is_async(self._ask):
                    return await cast("Awaitable[object]", self._ask())
                answer = await asyncio.wrap_future(_in_thread(self._ask))
                return await answer if inspect.isawaitable(answer) else answer
            except Exception as error:
                raise _failed(error) from error

    def _blocking(self) -> object:
        try:
            answer = self._ask()
            return asyncio.run(_waited_for(answer)) if inspect.isawaitable(answer) else answer
        except Exception as error:
            raise _failed(error) from error


def _left(end: float) -> float:
    return max(0.0, end - time.monotonic())


async def _in_time(seconds: float, attempt: Callable[[], T]) -> T:
    async with asyncio.timeout(seconds):
        return await greenlet_spawn(attempt)


def _is_async(ask: Password) -> bool:
    return inspect.iscoroutinefunction(ask) or inspect.iscoroutinefunction(getattr(ask, "__call__", None))  # noqa: B004


def _in_thread(ask: Callable[[], T]) -> Future[T]:
    """What `ask` returns, from a daemon thread: the loop's own executor would keep a shutdown waiting for it."""
    outcome: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(ask)
        except BaseException as error:
            if outcome.set_running_or_notify_cancel():
                outcome.set_exception(error)
            return
        if outcome.set_running_or_notify_cancel():
            outcome.set_result(result)

    threading.Thread(target=run, name="poolkeeper-password", daemon=True).start()
    return outcome


async def _waited_for(answer: Awaitable[T]) -> T:
    return await answer


def _failed(error: Exception) -> PasswordError:
    # Its text is left to the cause: nobody knows what a callable puts there.
    return PasswordError(f"the password callable raised {type(error).__name__}")


def _described(word: object) -> str:
    return "an empty text" if isinstance(word, str) else f"an object of type {type(word).__name__}"


def _nothing(_late: object) -> None:
    """It came too late for anybody."""
