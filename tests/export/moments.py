"""Moments of a pool, made by hand, and what prometheus_client says about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from poolkeeper.model import (
    BOUNDS,
    CloseReason,
    ConnectTrouble,
    Histogram,
    Holder,
    LoopLag,
    NestedCheckouts,
    PoolSnapshot,
    Timings,
    Totals,
)

POOL = "db_client_connection_pool_name"
UNUSED = PoolSnapshot(name="orders", capacity=None, in_use=0, idle=0, waiting=0)
BUSY = PoolSnapshot(
    name="orders",
    capacity=12,
    in_use=12,
    idle=0,
    waiting=5,
    connecting=1,
    opened=20,
    closed={CloseReason.IDLE: 6, CloseReason.LEAKED: 2},
    holders=(
        Holder("gone", "GET /leak", 75.0, finished=True),
        Holder("nested", "GET /twice", 3.0, waits_at="shop.py:3 in twice"),
        Holder("fine", "GET /orders/{id}", 0.1),
    ),
    at=100.0,
    pool_size=10,
    min_idle=2,
    pool_timeout=10.0,
    oldest_waiter=4.5,
    totals=Totals(
        requests=1000,
        waited=70,
        served=950,
        returned=938,
        timed_out=30,
        refused=15,
        cancelled=4,
        connects=20,
        connect_failures={"too-many-connections": 1},
        refusals={"max-waiting": 10, "nobody-returns": 5},
    ),
    nested=NestedCheckouts(waited=6, refused={"nobody-returns": 5}),
    connect_trouble=ConnectTrouble("too-many-connections", "sorry", "53300", seconds=1.5, attempts=1),
    loop_lag=LoopLag(recent=0.4),
)


def histogram(*seconds: float) -> Histogram:
    bounds = (*BOUNDS, float("inf"))
    counts = [0] * len(bounds)
    for value in seconds:
        counts[next(index for index, bound in enumerate(bounds) if value <= bound)] += 1
    return Histogram(tuple(counts), sum(seconds))


BUSY = replace(
    BUSY,
    timings=Timings(
        waits=histogram(0.0, 0.0, 0.3, 7.0),
        connects=histogram(0.02),
        holds=histogram(0.004, 40.0),
        in_sql=histogram(0.003, 1.0),
        gaps=histogram(0.001, 39.0),
    ),
    loop_lag=LoopLag(histogram(0.0, 0.002, 0.4), recent=0.4),
)


def values(found: CollectorRegistry | Iterable[Metric], name: str, **labels: str) -> list[float]:
    """The values of a sample name among what a registry has, of the series with these labels."""
    families = found.collect() if isinstance(found, CollectorRegistry) else found
    return [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def value(found: Any, name: str, **labels: str) -> float:
    """The one there is."""
    (only,) = values(found, name, **labels)
    return only
