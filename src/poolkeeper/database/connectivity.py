"""What is known about reaching the database, without asking it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from poolkeeper.errors import ConnectFailed


@dataclass(slots=True)
class Connectivity:
    """How the latest attempt to connect ended; the engine reports every one.

    `failure` is None while connecting works (or was never tried), `since` is when that state began, on the monotonic
    clock.
    """

    failure: ConnectFailed | None = None
    since: float = 0.0

    def report(self, failure: ConnectFailed | None) -> None:
        """Take note of one attempt."""
        if (failure is None) != (self.failure is None) or not self.since:
            self.since = time.monotonic()
        self.failure = failure
