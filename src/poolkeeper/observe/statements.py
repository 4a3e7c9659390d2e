"""What is under way on each connection: its statement, and how long the database has been waited for.

The dialect's own methods are wrapped: one place for every end of a statement, be it an answer, an error or a
cancellation, and for COMMIT and ROLLBACK too, which have no such events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Dialect, Engine

from poolkeeper.drivers import WatchedCursor

_ENDINGS = {"do_commit": "COMMIT", "do_rollback": "ROLLBACK"}


class Work:
    """What is done on a connection during one checkout. Times are of the monotonic clock.

    `running` commands are under way, or none, `since` that moment; before that, `in_sql` seconds were spent so.
    """

    # What begins like this costs no checkout anything.
    in_sql: float = 0.0
    running: int = 0
    since: float
    statement: str | None = None
    statements: int = 0
    streams: bool = False

    def began(self) -> None:
        if not self.running:
            self.since = time.monotonic()
        self.running += 1

    def ended(self) -> None:
        self.running -= 1
        if not self.running:
            now = time.monotonic()
            self.in_sql += now - self.since
            self.since = now

    @contextmanager
    def under_way(self) -> Generator[None]:
        self.began()
        try:
            yield
        finally:
            self.ended()


class Statements:
    """Keeps the entries of `work`, by the connection as the dialect knows it. Others add and remove them."""

    def __init__(self, engine: Engine) -> None:
        self.work: dict[Any, Work] = {}
        dialect: Any = engine.dialect
        dialect.do_execute = self._statement(dialect.do_execute)
        dialect.do_executemany = self._statement(dialect.do_executemany)
        dialect.do_execute_no_params = self._statement(dialect.do_execute_no_params)
        for name, statement in _ENDINGS.items():
            self._watch_ending(dialect, name, statement)

    def _statement(self, method: Callable[..., Any]) -> Callable[..., Any]:
        find = self.work.get

        # SQLAlchemy hands the context over last.
        def execute(cursor: Any, statement: str, *rest: Any, **named: Any) -> None:
            context: Any = named["context"] if named else rest[-1]
            work = find(context.root_connection.connection.dbapi_connection)
            if work is None:
                method(cursor, statement, *rest, **named)
                return
            work.statement = statement
            work.statements += 1
            work.began()
            try:
                method(cursor, statement, *rest, **named)
            finally:
                work.ended()
            if context.execution_options.get("stream_results"):
                work.streams = True
                context.cursor = _StreamingCursor(context.cursor, work)

        return execute

    def _watch_ending(self, dialect: Dialect, name: str, statement: str) -> None:
        method, find = getattr(dialect, name), self.work.get

        def end(dbapi_connection: Any) -> None:
            try:
                work = find(dbapi_connection.dbapi_connection)
            except AttributeError:
                # A blocking driver's own; SQLAlchemy and its pools pass their proxy.
                work = find(dbapi_connection)
            if work is None or not work.statements:
                # Nothing was sent, and nothing will be.
                method(dbapi_connection)
                return
            last, work.statement = work.statement, statement
            work.began()
            try:
                method(dbapi_connection)
            finally:
                work.ended()
                work.statement = last

        setattr(dialect, name, end)


class _StreamingCursor(WatchedCursor):
    """Each of its fetches asks the server."""

    __slots__ = ("_work",)

    def __init__(self, cursor: Any, work: Work) -> None:
        super().__init__(cursor, partial(Work.under_way, work))
        self._work = work

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._work.streams = False
