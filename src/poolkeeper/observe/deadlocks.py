"""Counts the statements that the server ended to break a deadlock: their callers get the error, and may hide it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from poolkeeper.drivers import is_deadlock
from poolkeeper.model import Deadlocks
from poolkeeper.observe.request import current_scope, route_of
from poolkeeper.observe.sites import current_site, described


class DeadlockCount:
    """Hears the errors of an engine; `shape` takes the values out of a statement."""

    def __init__(self, engine: Engine, shape: Callable[[str], str]) -> None:
        self.so_far = Deadlocks()
        self._shape = shape
        self._lock = threading.Lock()
        event.listen(engine, "handle_error", self._hear)

    def _hear(self, context: ExceptionContext) -> None:
        if not is_deadlock(context.original_exception):
            return
        # A COMMIT, whose deferred constraints wait for locks too, has no statement.
        statement = "COMMIT" if context.statement is None else self._shape(context.statement)
        site = current_site()
        route = route_of(current_scope.get())
        with self._lock:
            self.so_far = Deadlocks(self.so_far.count + 1, statement, route, described(site) if site else None)
