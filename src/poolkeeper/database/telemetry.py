"""A database's pools as OpenTelemetry metrics, where somebody measures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from poolkeeper.model import PoolSnapshot
from poolkeeper.observe.recorder import TimesObserver

if TYPE_CHECKING:
    from poolkeeper.observe.otel import Registration

log = logging.getLogger("poolkeeper")


class Telemetry:
    """Exports the pools that `source` tells of from `start()` to `stop()`, if OpenTelemetry has an SDK by then.

    What the application has set up there may fail: that is logged, and nothing is exported.

    Without one nothing is exported and nothing costs anything. With one, each checkout costs some microseconds more:
    its wait and its hold are recorded one by one.
    """

    def __init__(self, name: str, source: Callable[[], PoolSnapshot]) -> None:
        self.name, self._source = name, source
        self._registration: Registration | None = None

    def start(self) -> None:
        """Begin to export. Safe to call twice."""
        try:
            from poolkeeper.observe.otel import is_measured, register
        except ImportError:
            return
        try:
            if self._registration is None and is_measured():
                self._registration = register([self._source])
        except Exception:
            log.exception("%s: OpenTelemetry fails; the pool is not exported", self.name)

    def stop(self) -> None:
        """Export no more; the SDK may live on, and keeps nothing of ours. Safe to call twice."""
        if self._registration is not None:
            self._registration.close()
            self._registration = None

    def times(self) -> TimesObserver | None:
        """Who hears how long each wait, connect and hold of a new pool takes; None where nobody measures."""
        try:
            from poolkeeper.observe.otel import observer_for
        except ImportError:
            return None
        try:
            return observer_for(self.name)
        except Exception:
            log.exception("%s: OpenTelemetry fails; no times are recorded", self.name)
            return None
