"""A time in which callers are turned away: it is explained once, not to each of them."""

from __future__ import annotations

import math
import threading
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
    """What is said to those whom a pool turns away, in tasks or threads."""

    def __init__(self, pool: Explained) -> None:
        self._pool = pool
        # With the moment it was made at.
        self._reports: dict[str, tuple[Report, float]] = {}
        self._lock = threading.RLock()

    def report(self, about: str = "") -> Report:
        """The story of this second; empty where nobody tells one.

        Those who are turned away for a reason that is not everybody's are told `about` it by a story of their own.
        """
        reporter = self._pool.reporter
        if reporter is None:
            return Report()
        # Whose time is up at the same moment gets what the first of them is told.
        with self._lock:
            report, made = self._reports.get(about, (Report(), -math.inf))
            if time.monotonic() - made >= _HOLDS_FOR:
                report = self._reported(reporter)
                self._reports[about] = report, time.monotonic()
            return report

    def _reported(self, reporter: Callable[[], Report]) -> Report:
        try:
            return reporter()
        except Exception:
            # Whoever waited for a connection is to hear of that.
            self._pool.logger.exception("%s: the report on who holds its connections failed", self._pool.name)
            return Report()
