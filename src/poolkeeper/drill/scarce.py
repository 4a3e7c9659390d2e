"""What the scenarios share in which the server gives the service fewer connections than its pool may have."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.verdict import Check, no_storm, none_failed, none_refused, nothing_left, served

# Connections that the service can get.
LEFT = 8


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield from no_storm(figures)
    yield from nothing_left(figures)
