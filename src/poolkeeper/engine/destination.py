"""Where connections lead: to the URL's host, until the primary moves to another."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import URL, Dialect, Engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.util import await_only

from poolkeeper.drivers import Evidence, driver_of, evidence_of
from poolkeeper.engine.commands import driver_connection
from poolkeeper.facts.provider import MYSQL
from poolkeeper.pool import ON_REPLICA
from poolkeeper.pool.problems import is_curable
from poolkeeper.settings.dsn import Dsn

_ADDRESS = ("host", "hostaddr", "port", "unix_socket", "unix_sock")
# With these, a host that takes no writes may do.
_LENIENT = (None, "any", "primary")
# How MySQL's drivers say that `read_only` is off: MariaDB 12 has names for its values. And that it is on.
_WRITABLE = (0, "OFF")
_OPTION_PREVENTS = 1290
# Of the patience with a name that may move. The rest is for accepting what it leads to, before callers are turned away.
_FOR_A_NAME = 0.9
# A caller who connects by itself tries again after this (seconds).
_PAUSE = 0.1


class Destination:
    """Shared by the engines of one database. What it is told holds for connections that are opened from then on.

    A host that refused a write as read-only gets no new connection before it takes writes again: whoever wants one
    waits, as for a server that restarts. `is_elsewhere_possible` where other hosts are known that may take the writes;
    then it gets none for good. Otherwise its name may move, and it gets none for about `patience` seconds, if it took
    writes before; and then again, so that a database that stays read-only is read.
    """

    def __init__(self, *, is_elsewhere_possible: bool, patience: float) -> None:
        self._url: URL | None = None
        self._is_elsewhere_possible = is_elsewhere_possible
        self._patience = patience
        # Whether a connection led to a host that takes writes, as it said itself, since somebody last insisted.
        self._took_writes = False
        # How often somebody was told where to connect: what began before leads where connections do not lead any more.
        self._told = 0
        # Moments of the monotonic clock.
        self._insists_until = self._expected_until = -math.inf
        # Called when the primary may be another: a host refuses a write because it takes none. From any thread.
        self.on_doubt: Callable[[], None] | None = None

    @property
    def has_moved(self) -> bool:
        """Whether connections lead elsewhere than the URL says."""
        return self._url is not None

    def move(self, url: Dsn | None) -> None:
        """Connect to the host of this URL, with user, password and database as before; None for the own host."""
        self._url = None if url is None else make_url(url.secret)
        self._told += 1
        self.insist()

    def settle_anew(self) -> None:
        """The primary may be another by now."""
        self.insist()
        if self.on_doubt is not None:
            self.on_doubt()

    def insist(self) -> None:
        """Accept no host that takes no writes, where another may come."""
        now, insisted = time.monotonic(), self._insists
        if self._is_elsewhere_possible:
            self._insists_until = math.inf
        elif self._took_writes:
            # Once, until a host that takes writes was met again: readers wait, too.
            self._took_writes = False
            self._insists_until = now + _FOR_A_NAME * self._patience
        else:
            return
        self._told += not insisted
        self._expected_until = now + self._patience

    def lead(self, engine: Engine, *, waits: bool) -> None:
        """Lead this engine's connections, and hear of its refused writes. Call it once, before the engine is used.

        `waits` where the engine's own pool does not wait for a host that takes writes: SQLAlchemy's, which connect in
        the caller's time.
        """
        dialect = engine.dialect
        plain_connect = dialect.connect

        def attempt(*args: Any, **kwargs: Any) -> DBAPIConnection:
            return self._connect(dialect, lambda: plain_connect(*args, **self._arguments(dialect, kwargs)))

        def patient(*args: Any, **kwargs: Any) -> DBAPIConnection:
            while True:
                try:
                    return attempt(*args, **kwargs)
                except Exception as error:
                    if time.monotonic() >= self._expected_until or not is_curable(error):
                        raise
                # Not above: the error holds on to a half-open connection.
                await_only(asyncio.sleep(_PAUSE)) if dialect.is_async else time.sleep(_PAUSE)

        # Not a `do_connect` listener: the first one that returns a connection keeps all others from running.
        dialect.connect = patient if waits else attempt  # type: ignore[method-assign]
        event.listen(engine, "handle_error", self._weigh)

    def _connect(self, dialect: Dialect, connect: Callable[[], DBAPIConnection]) -> DBAPIConnection:
        told, connection = self._told, connect()
        while told != self._told:
            _end(dialect, connection)
            told, connection = self._told, connect()
        if dialect.name in MYSQL and self._insists:
            _refuse_if_read_only(dialect, connection)
        if driver_of(dialect).refuses_writes(driver_connection(connection)) is False:
            self._took_writes = True
        return connection

    def _arguments(self, dialect: Dialect, given: dict[str, Any]) -> dict[str, Any]:
        arguments = given
        if (url := self._url) is not None:
            there = dialect.create_connect_args(url)[1]
            arguments = {name: value for name, value in given.items() if name not in _ADDRESS}
            arguments |= {name: there[name] for name in _ADDRESS if name in there}
        if dialect.name != "postgresql" or not self._insists:
            return arguments
        if arguments.get("target_session_attrs") in _LENIENT:
            arguments = arguments | {"target_session_attrs": "read-write"}
        return arguments

    @property
    def _insists(self) -> bool:
        return time.monotonic() < self._insists_until

    def _weigh(self, context: ExceptionContext) -> None:
        connection = context.connection
        if evidence_of(context.original_exception) is not Evidence.READ_ONLY:
            return
        if connection is None or connection.closed or connection.invalidated:
            return
        if connection.get_execution_options().get(ON_REPLICA):
            return
        raw = connection.connection.driver_connection
        if driver_of(context.dialect).refuses_writes(raw) is not False:
            self.settle_anew()


def _refuse_if_read_only(dialect: Dialect, connection: DBAPIConnection) -> None:
    """Close a connection to a server that takes no writes, and raise: no driver of MySQL's does it at connect."""
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT @@GLOBAL.read_only, @@GLOBAL.innodb_read_only")
        row = cursor.fetchone()
        cursor.close()
    except BaseException:
        _end(dialect, connection)
        raise
    if row is not None and not all(value in _WRITABLE for value in row):
        connection.close()
        raise dialect.loaded_dbapi.OperationalError(_OPTION_PREVENTS, "the server is read-only (read_only)")


def _end(dialect: Dialect, connection: DBAPIConnection) -> None:
    """Leave the server without a goodbye: nobody knows whether it still listens."""
    driver_of(dialect).abort(driver_connection(connection))
    with suppress(Exception):
        dialect.do_terminate(connection)
