"""What a fault can reach for while a scenario is played: the server, the network, the service, and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from poolkeeper.drill.crowd import Crowd
from poolkeeper.drill.pooler import Pooler
from poolkeeper.drill.service import Service
from poolkeeper.testing import EmbeddedPostgres, FaultProxy, Replica
from poolkeeper.testing.postgres.server import Server

T = TypeVar("T")

_POLL = 0.02


@dataclass
class Site:
    """Where the props of a run are put up, before its service starts; what they bring is told here."""

    server: EmbeddedPostgres
    database: str
    proxy: FaultProxy
    folder: Path
    replica: Replica | None = None
    pooler: Pooler | None = None
    crowd: Crowd | None = None


@dataclass
class Stage:
    """One run of one scenario on one stack.

    Between the service and the `server` stands the `proxy`; the service's `database` is its own, and so are the
    tables there whose names begin with `prefix`. Moments are `time.monotonic()`; `begins` is when the load began,
    and 0 before that. What a fault counts goes into `counts`. A fault that makes another server the primary puts it
    into `server`, where the books are looked at in the end.
    """

    server: Server
    database: str
    proxy: FaultProxy
    service: Service
    begins: float = 0.0
    marks: dict[str, float] = field(default_factory=dict[str, float])
    counts: dict[str, float] = field(default_factory=dict[str, float])
    site: Site | None = None
    prefix: str = ""

    @property
    def folder(self) -> Path:
        """Where the files of this run are."""
        return self._put_up.folder

    @property
    def replica(self) -> Replica:
        """The one that the scenario's props have made. Raises LookupError where they have not."""
        return _there(self._put_up.replica, "replica")

    @property
    def pooler(self) -> Pooler:
        """The one that the scenario's props have started. Raises LookupError where they have not."""
        return _there(self._put_up.pooler, "pooler")

    @property
    def crowd(self) -> Crowd:
        """The one that the scenario's props have called. Raises LookupError where they have not."""
        return _there(self._put_up.crowd, "crowd")

    @property
    def _put_up(self) -> Site:
        return _there(self.site, "site")

    def mark(self, name: str) -> None:
        """Remember this moment, for `Observed.marks`."""
        self.marks[name] = time.monotonic()

    @contextmanager
    def fault(self) -> Generator[None]:
        """The time in which there is trouble; a fault before the load is over when the load begins."""
        self.marks.setdefault("fault", time.monotonic())
        yield
        self.mark("over")

    def wait_until(self, seconds: float) -> None:
        """Sleep until so many seconds after the load began."""
        self.wait(self.begins + seconds - time.monotonic())

    def wait(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def wait_for(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Wait until it is so, or until so many seconds have passed: what was expected is for the verdict to say."""
        deadline = time.monotonic() + seconds
        while not is_so() and time.monotonic() < deadline:
            time.sleep(_POLL)

    def terminate_backends(self, where: str = "true") -> int:
        """End the service's connections that meet an SQL condition on pg_stat_activity, and say how many."""
        return self.server.terminate_backends(f"datname = '{self.database}' AND ({where})")

    def backends(self) -> int:
        """How many connections of the service are on the server; a pooler that shares them keeps idle ones itself."""
        shared = self.site is not None and self.site.pooler is not None and self.site.pooler.shares
        state = "state <> 'idle'" if shared else "true"
        return len(self.server.activity(f"datname = '{self.database}' AND {state}"))

    def execute(self, sql: str) -> None:
        """Run statements in the service's database, past its pool."""
        self.server.execute(sql, database=self.database)

    def number(self, sql: str) -> int:
        """The one number that a query finds."""
        return int(self.server.query(sql, database=self.database)[0][0] or 0)


def _there(prop: T | None, what: str) -> T:
    if prop is None:
        raise LookupError(f"no {what} was put up for this scenario")
    return prop
