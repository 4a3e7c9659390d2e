"""Connections are held long, and what for is not known."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.UNKNOWN)
    if group is None:
        return
    yield group.finding(
        "long-hold",
        f"{group.counted} held by {group.place}",
        "others wait for as long; statements or something else may take the time",
        "Look at what runs after that line; watch the engine with poolkeeper to see statements",
        Confidence.POSSIBLE,
        unseen=("whether a statement runs", *case.blind()),
    )
