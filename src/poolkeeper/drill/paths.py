"""A load on paths of an app of which nothing else is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from poolkeeper.drill.client import Response
from poolkeeper.drill.load import Load
from poolkeeper.drill.phased import Outcomes, arrivals
from poolkeeper.drill.traffic import Call

_FINE = frozenset(range(200, 300))


@dataclass(frozen=True, slots=True)
class PathLoad:
    """GET requests to each of the `paths` in turn, in `phases` of (requests per second, seconds).

    A request fails after `timeout` seconds, and by any status but 2xx.
    """

    paths: tuple[str, ...]
    phases: tuple[tuple[float, float], ...]
    timeout: float = 3.0

    @property
    def seconds(self) -> float:
        """How long the sending takes."""
        return sum(seconds for _, seconds in self.phases)

    def load(self, address: str) -> Load:
        load = Load(address, PathTraffic(self.paths), arrivals(self.phases), timeout=self.timeout)
        load.recorder = Outcomes()
        return load


class PathTraffic:
    """Each path in turn, without end."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths: Iterator[str] = itertools.cycle(paths)

    def next(self) -> Call:
        path = next(self._paths)
        return Call(path, "GET", path, expected=_FINE)

    def answered(self, call: Call, response: Response) -> None:
        """Nothing builds on an answer."""
