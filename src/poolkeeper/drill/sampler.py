"""Looks at the proxy before the server while a scenario is played."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from poolkeeper.drill.figures import Sample
from poolkeeper.testing import FaultProxy

# Seconds; connects are counted within 100 ms.
_EVERY = 0.01


class Sampler:
    """Takes a sample each 10 ms from `with` on, in a thread of its own."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._taken: list[Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poolkeeper-drill-sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def since(self, moment: float, begins: float) -> tuple[Sample, ...]:
        """Samples from `moment` on (`time.monotonic()`), their times counted from `begins`."""
        return tuple(sample._replace(at=sample.at - begins) for sample in self._taken if sample.at >= moment)

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            seen = self._proxy.counters
            self._taken.append(Sample(time.monotonic(), seen.open, seen.accepted))
