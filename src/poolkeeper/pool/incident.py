"""A time in which callers are turned away: it is explained once, not to each of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from poolkeeper.model import Report

# What is going on is looked at again after so many seconds.
_HOLDS_FOR = 1.0


class Explained(Protocol):
    """A pool that somebody explains: `reporter` tells who holds its connections, and why."""

    reporter: Callable[[], Report] | None
    logger: Any

    @property
    def name(self) -> str: ...


class Incident:
    """What is said to those whom a pool turns away."""

    def __init__(self, pool: Explained) -> None:
        self._pool = pool
        self._report: Report | None = None
        self._made = 0.0

    def report(self) -> Report:
        """The story of this second; empty where nobody tells one."""
        reporter = self._pool.reporter
        if reporter is None:
            return Report()
        now = time.monotonic()
        if self._report is None or now - self._made >= _HOLDS_FOR:
            try:
                self._report = reporter()
            except Exception:
                # Whoever waited for a connection is to hear of that.
                self._pool.logger.exception("%s: the report on who holds its connections failed", self._pool.name)
                self._report = Report()
            self._made = now
        return self._report
