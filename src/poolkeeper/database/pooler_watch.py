"""A pooler that nobody named is recognised by the connections that lead to it, and every one's mode by two more."""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from poolkeeper.database.pooler_findings import MODE_UNKNOWN, not_named, of_mode, refuses
from poolkeeper.drivers import Driver, driver_of
from poolkeeper.engine import ConnectObserver
from poolkeeper.errors import ConnectFailed
from poolkeeper.facts import postgres
from poolkeeper.model import Finding
from poolkeeper.server import PoolMode, Unpooled, look_at_mode
from poolkeeper.settings import EffectiveSettings

log = logging.getLogger("poolkeeper")

_REFUSED = "unsupported startup parameter"
# Seconds. A look whose clients have to queue in the pooler keeps nobody else from a server connection for longer.
_PATIENCE = 1.0
_LONGEST_LOOK = 5.0
# Seconds before each look, as long as none has told.
_PAUSES = (0.0, 60.0, 600.0)


class PoolerWatch:
    """Looks at the connections of the engines of one database, for a pooler that its settings do not name.

    PgBouncer tells its clients a random number of 32 bits in the place of the server process's id, which on Linux has
    at most 22. One in a thousand looks like a process. What is found is logged once and kept in `findings`.

    From `start()` to `stop()` the mode of a PgBouncer is looked at too, in the background and until it is known; not
    where the process may be frozen, and not without `look_at_server`. `unpooled` makes engines for that.
    """

    def __init__(self, settings: EffectiveSettings, unpooled: Callable[[], Unpooled]) -> None:
        self._settings = settings
        self._unpooled = unpooled
        self._is_awake = settings.pooler == "none" and settings.url.dialect == "postgresql"
        self._may_look = settings.look_at_server and settings.pool == "queue"
        self._loop: AbstractEventLoop | None = None
        self._looking: asyncio.Task[None] | None = None
        # That of the pooler, once it is known.
        self.mode: PoolMode | None = None
        self.findings: tuple[Finding, ...] = ()

    def watch(self, engine: Engine) -> None:
        """Look at what this engine connects to. It costs no round trip."""
        if self._is_awake:
            event.listen(engine, "connect", partial(self._connected, driver_of(engine.dialect)))

    def hearing(self, observer: ConnectObserver) -> ConnectObserver:
        """The same observer, and this one."""

        def hear(failure: ConnectFailed | None) -> None:
            if failure is not None and _REFUSED in str(failure.orig):
                self._found(refuses(self._settings, failure))
            observer(failure)

        return hear if self._is_awake else observer

    def start(self) -> None:
        """Look at the mode of the pooler, on the running event loop, if it is that of a PgBouncer."""
        self._loop = asyncio.get_running_loop()
        if self.findings or (self._settings.pooler != "none" and self._settings.provider.is_pgbouncer):
            self._look()

    async def stop(self) -> None:
        """End a look that is under way. Safe to call twice."""
        task, self._looking, self._loop = self._looking, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def amended(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """These of the settings, less what is known better by now, and those of this watch."""
        is_known = self.mode is not None
        return (*(one for one in findings if not (is_known and one.code == MODE_UNKNOWN)), *self.findings)

    def _connected(self, driver: Driver, _dbapi: object, record: ConnectionPoolEntry) -> None:
        raw: Any = record.driver_connection
        number = driver.backend_of(raw)
        if self.findings or number is None or 0 < number <= postgres.LARGEST_PROCESS_ID.value:
            return
        self._found(not_named(self._settings, number))
        if (loop := self._loop) is not None and not loop.is_closed():
            # It may be a thread that connects.
            loop.call_soon_threadsafe(self._look)

    def _found(self, finding: Finding) -> None:
        if not self.findings:
            self.findings = (finding,)
            log.warning("%s", finding)

    def _look(self) -> None:
        if self._may_look and self._looking is None and self.mode is None and self._loop is not None:
            self._looking = self._loop.create_task(self._ask(), name="poolkeeper-pooler-mode")

    async def _ask(self) -> None:
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            try:
                self.mode = await look_at_mode(self._unpooled, patience=_PATIENCE, timeout=_LONGEST_LOOK)
            except Exception as error:
                log.debug("the pooler's mode could not be told: %r", error)
                continue
            self._told(self.mode)
            return

    def _told(self, mode: PoolMode) -> None:
        finding = of_mode(self._settings, mode)
        self.findings = () if finding is None else (finding,)
        if finding is not None:
            log.warning("%s", finding)
