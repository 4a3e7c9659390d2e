"""The budget counts what pools may open, in every situation, against what the server leaves them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from poolkeeper.planner.budget import (
    Budget,
    Situation,
    available,
    budget_of,
    deploy_at_maximum,
    margin_of,
    pods_in,
)
from poolkeeper.planner.quantities import Surge
from poolkeeper.planner.sizing import sizing_of
from poolkeeper.planner.workload import DatabaseServer, PoolerLimits, Service, Workload
from poolkeeper.settings import DatabaseSettings

SERVER = DatabaseServer(max_connections=200)
# Ten connections in each of eight processes.
ORDERS = Service(name="orders", rps=400, hold=0.05, pods=2, workers=4, pool_size=8, max_overflow=2)


def budget(*services: Service, server: DatabaseServer = SERVER) -> Budget:
    workload = Workload(services=services, server=server)
    return budget_of(workload, {one.name: sizing_of(one, server) for one in services})


def counts(service: Service, **values: Any) -> list[int]:
    ledger = budget(replace(service, **values)).server
    return [ledger.total(situation) for situation in Situation]


def test_every_process_has_a_pool_and_its_overflow():
    #                        minimum, now, maximum, deploy, zone lost
    assert counts(ORDERS) == [80, 80, 80, 160, 80]


def test_an_autoscaler_starts_and_stops_pods():
    assert counts(ORDERS, min_pods=1, max_pods=5) == [40, 80, 200, 160, 80]


@pytest.mark.parametrize(
    ("pods", "surge", "leaving", "counted"),
    [
        (2, Surge(share=0.25), None, 4),  # one that starts, and one that finishes its requests
        (8, Surge(share=0.25), None, 12),
        (8, Surge(pods=3), None, 14),
        (8, Surge(pods=3), Surge(pods=0), 11),
        (8, Surge(pods=0), None, 9),  # without a surge one stops before the next starts
        (8, Surge(share=1.0), None, 16),  # all old ones and all new ones
        (1, Surge(pods=1), None, 2),
        (4, Surge(pods=1), Surge(pods=9), 8),
    ],
)
def test_a_rolling_deploy_runs_more_than_one_generation(pods, surge, leaving, counted):
    service = replace(ORDERS, pods=pods, surge=surge, leaving=leaving)
    assert pods_in(Situation.DEPLOY, service) == counted


@pytest.mark.parametrize(("pods", "zones", "counted"), [(2, 1, 2), (2, 2, 3), (6, 3, 8), (5, 3, 7), (2, 3, 3)])
def test_sessions_of_a_lost_zone_stay_while_others_are_started(pods, zones, counted):
    assert pods_in(Situation.ZONE_LOST, replace(ORDERS, pods=pods, zones=zones)) == counted


def test_background_workers_are_counted_and_deployed():
    assert counts(ORDERS, background=7) == [87, 87, 87, 174, 87]


def test_services_add_up():
    ledger = budget(ORDERS, replace(ORDERS, name="search", pods=1, rps=10)).server
    assert [row.service for row in ledger.rows] == ["orders", "search"]
    assert ledger.total(Situation.NOW) == 120


def test_what_is_available():
    workload = Workload(services=(ORDERS,), server=replace(SERVER, other_clients=10, reserved=5))
    found = available(workload)
    # 195 usable; a fifth of them, 39, stays free.
    assert found.value == 200 - 5 - 39 - 10 - 2
    assert found.formula == (
        "200 max_connections - 5 reserved - 39 headroom (20%) - 10 of others - 2 for cancelled requests = 144"
    )


def test_cancelled_requests_leave_sessions_behind():
    # 800 checkouts a second in a burst, one in a hundred is cancelled, and lasts up to its p99 of 230 ms: 1.84.
    assert margin_of([ORDERS]).value == 2
    assert margin_of([replace(ORDERS, hold_p99=0.5)]).value == 4
    # With callers who wait for no more than two mean holds, 13.5 % of them leave before the end.
    assert margin_of([replace(ORDERS, client_timeout=0.1)]).value == 25
    assert margin_of([ORDERS, replace(ORDERS, name="b")]).value == 4


def test_a_red_line_says_by_how_much():
    ledger = budget(ORDERS, server=replace(SERVER, max_connections=150)).server
    assert ledger.limit.value == 115
    assert [ledger.over(situation) for situation in Situation] == [0, 0, 0, 45, 0]
    assert (ledger.worst, ledger.fits) == (160, False)


def test_through_a_pooler_the_server_sees_its_pool():
    server = replace(SERVER, pooler=PoolerLimits(pool_size=30, max_client_conn=150))
    found = budget(replace(ORDERS, pooler=True), replace(ORDERS, name="search", rps=10), server=server)
    assert found.server.rows[0].counts[Situation.NOW] == 30
    assert found.server.rows[1].counts[Situation.NOW] == 80
    assert found.pooler is not None
    assert [found.pooler.total(situation) for situation in Situation] == [80, 80, 80, 160, 80]
    assert (found.pooler.limit.value, found.pooler.fits, found.server.fits) == (150, False, False)


def test_several_poolers_have_their_limits_each():
    server = replace(SERVER, pooler=PoolerLimits(pool_size=30, max_client_conn=150, instances=2))
    found = budget(replace(ORDERS, pooler=True), server=server)
    assert found.pooler is not None
    assert found.pooler.limit.value == 300
    assert found.server.total(Situation.DEPLOY) == 60
    assert found.server.total(Situation.NOW) == 60


def test_a_deploy_at_the_maximum_is_counted_apart():
    service = replace(ORDERS, max_pods=4)
    sizings = {"orders": sizing_of(service, SERVER)}
    assert deploy_at_maximum(Workload(services=(service,), server=SERVER), sizings) == 240


@pytest.mark.parametrize("limit", [13, 50, 97, 103, 1001])
def test_settings_are_checked_against_what_a_plan_has_to_give(limit: int) -> None:
    server = DatabaseServer(max_connections=limit)
    left = available(Workload(services=(), server=server)).value

    def findings(pool_size: int) -> set[str]:
        settings = DatabaseSettings(
            url="postgresql+asyncpg://db/shop",
            pool_size=pool_size,
            max_overflow=0,
            max_connections=limit,
            reserved_connections=server.reserved,
        )
        return {finding.code for finding in settings.examine({}).findings if finding.code.startswith("pool-budget")}

    assert findings(left) == set()
    assert findings(left + 1) == {"pool-budget-tight"}
