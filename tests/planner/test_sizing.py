"""Sizes of pools are those that the queueing formulas ask for, each with its reason."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolkeeper.model import Histogram
from poolkeeper.planner.queueing import waits
from poolkeeper.planner.sizing import holding_size, loads_of, locking_size, recommended_size, sizing_of, worth_waiting
from poolkeeper.planner.spread import hold_scv, slow_hold
from poolkeeper.planner.workload import DatabaseServer, Service

SERVER = DatabaseServer(max_connections=200)
ORDERS = Service(name="orders", rps=400, hold=0.05, pods=2, workers=4)


def orders(**values: Any) -> Service:
    return replace(ORDERS, **values)


def p99(service: Service, rate: float, size: int) -> float:
    found = waits(rate, service.hold, size, hold_scv=hold_scv(service).value).quantile(0.99)
    return math.inf if found is None else found


def test_littles_law():
    assert ORDERS.demand == pytest.approx(20)
    assert orders(db_share=0.5).demand == pytest.approx(10)
    assert orders(connections_per_request=2).demand == pytest.approx(40)


def test_each_process_carries_its_share():
    assert [(load.name, load.rate, load.processes) for load in loads_of(ORDERS)] == [("peak", 50, 8), ("burst", 100, 8)]
    zones = loads_of(orders(pods=5, zones=3))
    assert [(load.name, load.processes) for load in zones] == [("peak", 20), ("burst", 20), ("zone lost", 12)]
    assert zones[-1].rate == pytest.approx(400 / 12)  # 2 of 5 pods were in the fullest of 3 zones


def test_a_pool_that_meets_its_aims_and_no_larger():
    size = recommended_size(ORDERS, SERVER).value
    assert size == 6
    assert p99(ORDERS, 50, size) <= ORDERS.hold < p99(ORDERS, 50, size - 1)
    assert p99(ORDERS, 100, size) <= worth_waiting(ORDERS)


def test_a_burst_decides_where_it_needs_more():
    service = orders(burst=6, client_timeout=2.0)
    size = recommended_size(service, replace(SERVER, max_connections=500))
    assert size.formula.startswith("burst: 300/s x 50ms = 15 in use")
    wait = worth_waiting(service)
    assert p99(service, 300, size.value) <= wait < p99(service, 300, size.value - 1)
    # A burst that the whole server could not carry says nothing about the size of a pool.
    assert recommended_size(service, replace(SERVER, max_connections=100)).value == 6


def test_a_lost_zone_decides_where_it_needs_more():
    service = orders(pods=2, zones=2, workers=1, burst=1.0, hold=0.2)
    size = recommended_size(service, SERVER)
    assert size.formula.startswith("zone lost: 400/s x 200ms = 80 in use")
    assert size.value > 80


def test_small_loads_get_the_smallest_usual_pool():
    assert recommended_size(orders(rps=8), SERVER).value == 5


def test_no_more_connections_than_can_be_in_use():
    assert recommended_size(orders(concurrency=4), SERVER).value == 4
    assert recommended_size(orders(concurrency=4, rps=100, connections_per_request=2), SERVER).value == 5


@pytest.mark.parametrize(("threads", "needed", "size"), [(8, 2, 9), (3, 4, 10), (40, 2, 41), (5, 1, 1)])
def test_pool_locking(threads, needed, size):
    assert locking_size(threads, needed).value == size
    # All threads hold all but one of what they need: one connection is left, and somebody finishes.
    assert threads * (needed - 1) < size


def test_nested_checkouts_decide_where_requests_are_bounded():
    size = recommended_size(orders(connections_per_request=2, concurrency=40, rps=100), SERVER)
    assert (size.value, size.formula) == (41, "40 x (2 - 1) + 1 = 41")


def test_what_is_given_is_planned_with():
    sizing = sizing_of(orders(pool_size=20, max_overflow=10), SERVER)
    assert (sizing.pool_size.value, sizing.max_overflow.value, sizing.capacity) == (20, 10, 30)
    assert sizing.max_waiting.value == 6000  # 10 s x 30 / 50 ms


def test_nobody_waits_longer_than_the_caller():
    assert sizing_of(ORDERS, SERVER).pool_timeout.value == 10
    assert sizing_of(orders(client_timeout=60.0), SERVER).pool_timeout.value == 10
    short = sizing_of(orders(client_timeout=2.0), SERVER)
    assert short.pool_timeout.value == pytest.approx(1.95)
    # Nine tenths of the callers' patience are used, and 50 ms of them for the hold: 1.75 s x 6 / 50 ms.
    assert short.max_waiting.value == 210


@pytest.mark.parametrize(
    ("provider", "recycle", "source"),
    [
        (None, 3600, "default of this library"),
        ("postgresql", 3600, "default of this library"),
        ("azure", 180, "Azure"),
        ("planetscale-mysql", 3600, "default of this library"),
    ],
)
def test_connections_are_replaced_before_they_are_cut(provider, recycle, source):
    found = sizing_of(ORDERS, replace(SERVER, provider=provider)).recycle
    assert found.value == recycle
    assert source in found.source


def test_every_number_says_why():
    sizing = sizing_of(orders(client_timeout=2.0), SERVER)
    for item in (sizing.pool_size, sizing.max_overflow, sizing.pool_timeout, sizing.max_waiting, sizing.recycle):
        assert item.formula
        assert item.source
        assert item.reason


def test_the_spread_of_exponential_holds():
    assert hold_scv(ORDERS).value == 1
    assert slow_hold(ORDERS) == pytest.approx(0.05 * math.log(100))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.4])
def test_the_spread_of_lognormal_holds_from_mean_and_p99(sigma):
    holds = np.random.default_rng(1).lognormal(-3, sigma, 2_000_000)
    mean, slow = math.exp(-3 + sigma**2 / 2), math.exp(-3 + 2.3263479 * sigma)
    assert slow == pytest.approx(np.quantile(holds, 0.99), rel=0.01)
    found = hold_scv(orders(hold=mean, hold_p99=slow))
    assert found.value == pytest.approx(math.expm1(sigma**2), rel=1e-6)
    assert found.value == pytest.approx(holds.var() / holds.mean() ** 2, rel=0.1)


def test_the_spread_of_measured_holds():
    holds = np.random.default_rng(2).exponential(0.05, 200_000)
    bounds = tuple(float(bound) for bound in np.geomspace(0.001, 1.0, 40))
    counts, _ = np.histogram(holds, bins=[0.0, *bounds, math.inf])
    measured = Histogram(tuple(int(count) for count in counts), float(holds.sum()), bounds)
    service = orders(hold=float(holds.mean()), hold_histogram=measured)
    assert hold_scv(service).value == pytest.approx(1, rel=0.05)
    assert slow_hold(service) == pytest.approx(np.quantile(holds, 0.99), rel=0.1)


@settings(max_examples=60, deadline=None)
@given(
    rps=st.floats(0.01, 5000),
    hold=st.floats(0.0005, 1.0),
    pods=st.integers(1, 20),
    workers=st.integers(1, 8),
    ratio=st.floats(1.0, 12.0),
    zones=st.integers(1, 4),
)
def test_a_recommended_pool_always_holds(rps, hold, pods, workers, ratio, zones):
    service = Service(
        name="any", rps=rps, hold=hold, pods=pods, workers=workers, hold_p99=hold * ratio, zones=zones, burst=1.5
    )
    server = DatabaseServer(max_connections=10_000)
    size = recommended_size(service, server).value
    assert holding_size(service) <= size
    for load in loads_of(service):
        assert p99(service, load.rate, size) <= (hold if load.name == "peak" else worth_waiting(service))
