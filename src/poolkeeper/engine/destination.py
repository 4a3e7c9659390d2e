"""Where connections lead: to the URL's host, until the primary moves to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Dialect, Engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection

from poolkeeper.drivers import Evidence, driver_of, evidence_of
from poolkeeper.pool import ON_REPLICA
from poolkeeper.settings.dsn import Dsn

_ADDRESS = ("host", "hostaddr", "port", "unix_socket", "unix_sock")
# With these, a host that takes no writes may do.
_LENIENT = (None, "any", "primary")


class Destination:
    """Shared by the engines of one database. What it is told holds for connections that are opened from then on.

    `is_elsewhere_possible` where there is another host that may take the writes when this one does not. Then a host
    that refused a write as read-only gets no new connection before it takes writes again: whoever wants one waits, as
    for a server that restarts.
    """

    def __init__(self, *, is_elsewhere_possible: bool) -> None:
        self._url: URL | None = None
        self._may_insist = is_elsewhere_possible
        self._insists = False
        # Called when a host refuses a write because it takes none. From any thread.
        self.on_refusal: Callable[[], None] | None = None

    @property
    def has_moved(self) -> bool:
        """Whether connections lead elsewhere than the URL says."""
        return self._url is not None

    def move(self, url: Dsn | None) -> None:
        """Connect to the host of this URL, with user, password and database as before; None for the own host."""
        self._url = None if url is None else make_url(url.secret)
        self.insist()

    def insist(self) -> None:
        """Accept no host that takes no writes, if there may be another."""
        self._insists = self._may_insist

    def lead(self, engine: Engine) -> None:
        """Lead this engine's connections, and hear of its refused writes. Call it once, before the engine is used."""
        dialect = engine.dialect
        plain_connect = dialect.connect

        def connect(*args: Any, **kwargs: Any) -> DBAPIConnection:
            return plain_connect(*args, **self._arguments(dialect, kwargs))

        # Not a `do_connect` listener: the first one that returns a connection keeps all others from running.
        dialect.connect = connect  # type: ignore[method-assign]
        event.listen(engine, "handle_error", self._weigh)

    def _arguments(self, dialect: Dialect, given: dict[str, Any]) -> dict[str, Any]:
        arguments = given
        if (url := self._url) is not None:
            there = dialect.create_connect_args(url)[1]
            arguments = {name: value for name, value in given.items() if name not in _ADDRESS}
            arguments |= {name: there[name] for name in _ADDRESS if name in there}
        if self._insists and dialect.name == "postgresql" and arguments.get("target_session_attrs") in _LENIENT:
            arguments = arguments | {"target_session_attrs": "read-write"}
        return arguments

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
            self.insist()
            if self.on_refusal is not None:
                self.on_refusal()
