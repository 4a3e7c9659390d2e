"""What a fault can reach for while a scenario is played: the server, the network, the service, and the clock."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from poolkeeper.drill.service import Service
from poolkeeper.testing import EmbeddedPostgres, FaultProxy


@dataclass
class Stage:
    """One run of one scenario on one stack.

    Between the service and the `server` stands the `proxy`; the service's `database` is its own. Moments are
    `time.monotonic()`; `begins` is when the load began, and 0 before that. What
    a fault counts goes into `counts`.
    """

    server: EmbeddedPostgres
    database: str
    proxy: FaultProxy
    service: Service
    begins: float = 0.0
    marks: dict[str, float] = field(default_factory=dict[str, float])
    counts: dict[str, float] = field(default_factory=dict[str, float])

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

    def terminate_backends(self, where: str = "true") -> int:
        """End the service's connections that meet an SQL condition on pg_stat_activity, and say how many."""
        return self.server.terminate_backends(f"datname = '{self.database}' AND ({where})")

    def execute(self, sql: str) -> None:
        """Run statements in the service's database, past its pool."""
        self.server.execute(sql, database=self.database)

    def number(self, sql: str) -> int:
        """The one number that a query finds."""
        return int(self.server.query(sql, database=self.database)[0][0] or 0)
