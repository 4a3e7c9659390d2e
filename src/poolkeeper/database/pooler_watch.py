"""A pooler that nobody told of is recognised by the connections that lead to it."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from poolkeeper.drivers import Driver, driver_of
from poolkeeper.engine import ConnectObserver
from poolkeeper.errors import ConnectFailed
from poolkeeper.facts import postgres
from poolkeeper.model import Finding, Severity
from poolkeeper.settings import EffectiveSettings

log = logging.getLogger("poolkeeper")

_REFUSED = "unsupported startup parameter"
_FIX = "Set provider to pgbouncer-transaction or pgbouncer-session"


class PoolerWatch:
    """Looks at the connections of the engines of one database, unless its settings name a pooler.

    PgBouncer tells its clients a random number of 32 bits in the place of the server process's id, which on Linux has
    at most 22. One in a thousand looks like a process. What is found is logged once and kept in `findings`.
    """

    def __init__(self, settings: EffectiveSettings) -> None:
        self._settings = settings
        self._is_awake = settings.pooler == "none" and settings.url.dialect == "postgresql"
        self.findings: tuple[Finding, ...] = ()

    def watch(self, engine: Engine) -> None:
        """Look at what this engine connects to. It costs no round trip."""
        if self._is_awake:
            event.listen(engine, "connect", partial(self._connected, driver_of(engine.dialect)))

    def hearing(self, observer: ConnectObserver) -> ConnectObserver:
        """The same observer, and this one."""

        def hear(failure: ConnectFailed | None) -> None:
            if failure is not None and _REFUSED in str(failure.orig):
                self._refused(failure)
            observer(failure)

        return hear if self._is_awake else observer

    def _connected(self, driver: Driver, _dbapi: object, record: ConnectionPoolEntry) -> None:
        raw: Any = record.driver_connection
        number = driver.backend_of(raw)
        if self.findings or number is None or 0 < number <= postgres.LARGEST_PROCESS_ID.value:
            return
        ignored = (
            f", and it ignores the statement_timeout of {self._settings.statement_timeout:g} s"
            if self._settings.statement_timeout is not None
            else ""
        )
        self._found(
            Finding(
                "pooler-not-named",
                Severity.WARNING,
                "provider",
                f"a pooler answers at {self._settings.url}: it calls the session {number}, as no server does{ignored}",
                "in transaction mode the next transaction may reach another server connection, which has none of the "
                "prepared statements and settings of the last",
                _FIX,
                postgres.LARGEST_PROCESS_ID.source,
            )
        )

    def _refused(self, failure: ConnectFailed) -> None:
        self._found(
            Finding(
                "pooler-refuses-parameter",
                Severity.ERROR,
                "provider",
                f"a pooler answers at {self._settings.url}: {failure.orig}",
                "a pooler shares its server connections: it refuses such a parameter at connect",
                _FIX,
            )
        )

    def _found(self, finding: Finding) -> None:
        if not self.findings:
            self.findings = (finding,)
            log.warning("%s", finding)
