"""Snapshots to decide on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from poolkeeper.model import Holder, PoolSnapshot, Totals
from poolkeeper.observe.incidents import Incidents, Thresholds
from poolkeeper.observe.lines import Line

QUIET = PoolSnapshot(name="orders", capacity=2, in_use=0, idle=2, waiting=0, at=100.0)
FULL = replace(QUIET, in_use=2, idle=0, waiting=3, oldest_waiter=0.05, totals=Totals(waited=3))
HOLDER = Holder(task="Task-7", route="GET /orders/{id}", seconds=3.0, site="shop.py:42 in place", id=1)


def after(seconds: float, pool: PoolSnapshot = QUIET, **changes: Any) -> PoolSnapshot:
    """The pool so many seconds after the beginning."""
    return replace(pool, at=100.0 + seconds, **changes)


def held(seconds: float, *holders: Holder, **changes: Any) -> PoolSnapshot:
    """The pool at that time with these holders, who took their connections as long before the beginning as they say."""
    aged = tuple(replace(holder, seconds=holder.seconds + seconds) for holder in holders)
    return after(seconds, in_use=len(holders), holders=aged, **changes)


def told(*snapshots: PoolSnapshot, **thresholds: float) -> list[Line]:
    """Everything that is said about these."""
    incidents = Incidents(Thresholds(**thresholds))  # type: ignore[arg-type]
    return [line for snapshot in snapshots for line in incidents.see(snapshot)]


def events(lines: list[Line]) -> list[str]:
    return [line.event for line in lines]
