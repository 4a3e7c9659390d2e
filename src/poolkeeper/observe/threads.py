"""Whether blocking endpoints have threads to run in: the numbers of anyio's limiter, and what its threads are at."""

from __future__ import annotations

import math
import threading
from collections import Counter
from contextlib import suppress

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter

from poolkeeper.model import Threads
from poolkeeper.observe.awaiting import innermost_site

# anyio gives its threads this name and no other sign.
_NAME = "AnyIO worker thread"


class ThreadWatch:
    """The default limiter of the event loop that a pool works on, which Starlette's and FastAPI's threads share."""

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None

    def begin(self) -> None:
        """Look at the limiter of the running event loop from now on; nothing without one."""
        # Outside of a task anyio does not know where it is.
        with suppress(RuntimeError):
            self._limiter = current_default_thread_limiter()

    def end(self) -> None:
        """Look no more."""
        self._limiter = None

    def threads(self) -> Threads | None:
        """The numbers of this moment; None before there was an event loop."""
        if self._limiter is None:
            self.begin()
        # Other threads may ask while the loop goes on.
        with suppress(RuntimeError):
            return None if self._limiter is None else _told(self._limiter)
        return None


def _told(limiter: CapacityLimiter) -> Threads:
    numbers = limiter.statistics()
    limit = None if math.isinf(numbers.total_tokens) else int(numbers.total_tokens)
    found = Threads(limit, numbers.borrowed_tokens, numbers.tasks_waiting)
    if not found.is_exhausted:
        return found
    # What a thread is at takes microseconds for each; it is asked for only while they are too few.
    found_at = (innermost_site(thread) for thread in threading.enumerate() if thread.name == _NAME)
    site, there = next(iter(Counter(site for site in found_at if site).most_common(1)), (None, 0))
    return Threads(limit, found.busy, found.waiting, site, there)
