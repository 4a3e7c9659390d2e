"""What the page shows, as plain values."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from poolkeeper.database import Database
from poolkeeper.fastapi.page.view import pool_view, replica_view, shown_settings
from poolkeeper.observe import Ticker
from poolkeeper.observe.workers import WorkerFiles

log = logging.getLogger("poolkeeper")

# Of the JSON: another release's worker may be running beside this one during a deployment.
FORMAT = 1
# How long (seconds) a slow disk may delay the page.
_PATIENCE = 1.0


class PageData:
    """Shares what is known of a database's pool with other workers, and puts it all together for the page.

    It asks neither the database nor the pool for a connection, and files are read and written in a thread of its own:
    what the page is about may have used up all others.
    """

    def __init__(self, database: Database, workers: WorkerFiles) -> None:
        self._database, self._workers = database, workers
        self._history = database.explaining.history
        self._ticker = Ticker(self._tick, self._history.every)
        self._thread: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._wanted = True
        self._others: list[dict[str, Any]] = []
        self._started = time.time()
        self._explains = True

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Share the state of this worker every few seconds, until the block ends."""
        self._started, self._wanted, self._writing = time.time(), True, None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="poolkeeper-page")
        self._thread.submit(self._workers.start)
        self._ticker.start()
        try:
            yield
        finally:
            self._ticker.stop()
            thread, self._thread = self._thread, None
            leaving = asyncio.wrap_future(thread.submit(self._workers.stop))
            thread.shutdown(wait=False)
            # uvicorn ends its process right after this; a stuck disk must not keep it from that.
            await asyncio.wait([leaving], timeout=_PATIENCE)

    def of_this_worker(self) -> dict[str, object]:
        """The pool of this process: numbers, holders, findings, replicas, and the last minutes."""
        snapshot = self._database.snapshot()
        return {
            "format": FORMAT,
            "pid": os.getpid(),
            "started": self._started,
            "at": time.time(),
            "state": self._database.state,
            "findings": self._explained(),
            "primary": self._database.primary,
            "replicas": [replica_view(replica) for replica in self._database.replicas],
            **pool_view(snapshot, self._history.window()),
        }

    async def of_all(self) -> dict[str, object]:
        """Everything the page shows."""
        settings = self._database.settings
        others = await self._read_others()
        return {
            "format": FORMAT,
            "database": self._database.name,
            "now": time.time(),
            "pid": os.getpid(),
            "every": self._history.every,
            "seconds": self._history.seconds,
            "settings": shown_settings(settings),
            "advice": [finding.as_dict() for finding in self._database.findings],
            "workers": [self.of_this_worker(), *others],
            "alone": self._workers.trouble is not None,
        }

    def _explained(self) -> list[dict[str, object]] | None:
        """The findings; None where the diagnosis itself failed, which must not take the page with it."""
        try:
            findings = [finding.as_dict() for finding in self._database.explaining.findings()]
        except Exception:
            if self._explains:
                log.exception("%s: the diagnosis failed; further failures are not logged", self._database.name)
            self._explains = False
            return None
        self._explains = True
        return findings

    def _tick(self) -> None:
        if self._thread is None or (self._writing is not None and not self._writing.done()):
            return
        self._writing = self._thread.submit(self._share, self.of_this_worker() if self._wanted else None)

    def _share(self, view: Mapping[str, object] | None) -> None:
        if view is not None:
            self._workers.write(view)
        self._wanted = self._workers.is_due()

    async def _read_others(self) -> list[dict[str, Any]]:
        if self._thread is None:
            return []
        reading = asyncio.get_running_loop().run_in_executor(self._thread, self._workers.read)
        try:
            found = await asyncio.wait_for(reading, _PATIENCE)
        except TimeoutError:
            return self._others
        self._others = [view for view in found if view.get("format") == FORMAT]
        return self._others
