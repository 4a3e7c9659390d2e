"""Transactions that run again when, and only when, that is safe."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from poolkeeper.database.attempt import Attempt
from poolkeeper.database.deadline import CutOff, within
from poolkeeper.database.retrying import Course, Retrying

if TYPE_CHECKING:
    from poolkeeper.database.database import Database

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
AsyncWork = Callable[Concatenate[AsyncSession, P], Awaitable[R]]
SyncWork = Callable[Concatenate[Session, P], R]

_OWNER = "its attempt, which `run()` began"


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a transaction is tried again. `deadline` is in seconds, for all attempts and waits together.

    `applied` is called as the function itself is, with a session of its own, and tells whether the work was done.
    """

    attempts: int | None = None
    deadline: float | None = None
    applied: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts < 1:
            raise ArgumentError(f"attempts counts the first one too, and cannot be {self.attempts}")
        if self.deadline is not None and self.deadline <= 0:
            raise ArgumentError(f"a deadline is in seconds from now, and cannot be {self.deadline:g}")

    def course(self, retrying: Retrying) -> Course:
        until = None if self.deadline is None else time.monotonic() + self.deadline
        return Course(retrying, self.attempts, until)


class Runner:
    """Runs transactions of one database. `cut_off` ends what a task awaits of it."""

    def __init__(self, database: Database, retrying: Retrying, cut_off: CutOff) -> None:
        self._database = database
        self._retrying = retrying
        self._cut_off = cut_off
        level = str(database.settings.engine_options.get("isolation_level", ""))
        self._autocommits = level.replace("_", " ").upper() == "AUTOCOMMIT"

    def asyncio(self, terms: Terms, work: AsyncWork[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
        """This function as one that needs no session, and is tried again."""

        @wraps(work)
        async def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self.run(terms, work, args, kwargs)

        return _without_session(run)

    def threads(self, terms: Terms, work: SyncWork[P, R]) -> Callable[P, R]:
        """The same for a function that blocks."""

        @wraps(work)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.sync_run(terms, work, args, kwargs)

        return _without_session(run)

    async def run(self, terms: Terms, work: Callable[..., Awaitable[R]], args: Any, kwargs: Any) -> R:
        """Call it with a session and these arguments."""
        course = terms.course(self._retrying)
        async with within(terms.deadline, self._cut_off, lambda: course.doubt):
            result: R = await self._run(course, _Call(work, terms.applied, args, kwargs))
            return result

    def sync_run(self, terms: Terms, work: Callable[..., R], args: Any, kwargs: Any) -> R:
        """The same on this thread."""
        result: R = self._sync_run(terms.course(self._retrying), _Call(work, terms.applied, args, kwargs))
        return result

    async def _run(self, course: Course, call: _Call) -> Any:
        while True:
            attempt = Attempt(autocommits=self._autocommits)
            try:
                async with self._database.session(owner=_OWNER) as session:
                    attempt.watch(session.sync_session)
                    attempt.result = await call.work(session, *call.args, **call.kwargs)
            except Exception as error:
                delay, has_to_ask = course.after(error, attempt, has_check=call.applied is not None)
                if has_to_ask:
                    # What is still on its way to the server is better asked for a little later.
                    await asyncio.sleep(delay or 0.0)
                    if await self._is_applied(course, call):
                        return course.result
                if delay is None:
                    raise
            else:
                return attempt.result
            if not has_to_ask:
                await asyncio.sleep(delay)

    async def _is_applied(self, course: Course, call: _Call) -> bool:
        asking = course.asking()
        while True:
            try:
                async with self._database.session(owner=_OWNER) as session:
                    return bool(await call.applied(session, *call.args, **call.kwargs))
            except Exception as error:
                delay, _ = asking.after(error, _CHECK, has_check=False)
                if delay is None:
                    raise course.still_in_doubt(error) from None
            await asyncio.sleep(delay)

    def _sync_run(self, course: Course, call: _Call) -> Any:
        while True:
            attempt = Attempt(autocommits=self._autocommits)
            try:
                with self._database.sync_session(owner=_OWNER) as session:
                    attempt.watch(session)
                    attempt.result = call.work(session, *call.args, **call.kwargs)
            except Exception as error:
                delay, has_to_ask = course.after(error, attempt, has_check=call.applied is not None)
                if has_to_ask:
                    time.sleep(delay or 0.0)
                    if self._sync_is_applied(course, call):
                        return course.result
                if delay is None:
                    raise
            else:
                return attempt.result
            if not has_to_ask:
                time.sleep(delay)

    def _sync_is_applied(self, course: Course, call: _Call) -> bool:
        asking = course.asking()
        while True:
            try:
                with self._database.sync_session(owner=_OWNER) as session:
                    return bool(call.applied(session, *call.args, **call.kwargs))
            except Exception as error:
                delay, _ = asking.after(error, _CHECK, has_check=False)
                if delay is None:
                    raise course.still_in_doubt(error) from None
            time.sleep(delay)


def _without_session(run: F) -> F:
    """Whoever asks for its parameters, as FastAPI does, is told of those that callers give."""
    with suppress(TypeError, ValueError):
        signature = inspect.signature(run)
        parameters = list(signature.parameters.values())[1:]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


@dataclass(frozen=True, slots=True)
class _Call:
    """What is run, with which arguments, and what tells whether it was applied."""

    work: Callable[..., Any]
    applied: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


# To look is repeatable, whatever becomes of the transaction that it is in.
_CHECK = Attempt(autocommits=False)
