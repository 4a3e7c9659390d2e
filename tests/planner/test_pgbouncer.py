"""How a budget of server connections is shared out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolkeeper.planner.numbers import BadNumber
from poolkeeper.planner.pgbouncer import PoolerCannotHelp, Tenant, share_out, staffed

loads = st.floats(0.01, 200)


def tenant(service: str, load: float, burst: float = 1.0, clients: int = 100_000) -> Tenant:
    return Tenant(service, load, load * burst, clients, slow_hold=0.2, patience=5, user="postgres")


def test_each_service_gets_what_its_load_wants_where_there_is_room() -> None:
    plan = share_out([tenant("orders", 9, burst=2), tenant("reports", 1)], 100)
    assert (plan.shares["orders"].pool_size, plan.shares["reports"].pool_size) == (15, 3)
    assert plan.shares["orders"].most == staffed(18) == 27
    assert plan.shares["reports"].reserve == 0


def test_the_reserve_shrinks_before_the_pools() -> None:
    plan = share_out([tenant("orders", 9, burst=2), tenant("reports", 1)], 20)
    assert (plan.shares["orders"].pool_size, plan.shares["reports"].pool_size) == (15, 3)
    assert plan.shares["orders"].reserve == 2


def test_pools_shrink_down_to_what_is_busy_in_the_mean() -> None:
    plan = share_out([tenant("orders", 9, burst=2), tenant("reports", 1)], 12)
    assert {name: share.most for name, share in plan.shares.items()} == {"orders": 10, "reports": 2}
    with pytest.raises(PoolerCannotHelp, match=r"12 server connections are needed at least \(orders 10, reports 2\)"):
        share_out([tenant("orders", 9), tenant("reports", 1)], 11)


def test_no_more_connections_than_there_are_clients() -> None:
    plan = share_out([tenant("orders", 9, burst=2, clients=12)], 100)
    assert plan.shares["orders"].most == 12


@settings(max_examples=60, deadline=None)
@given(st.lists(loads, min_size=1, max_size=6), st.floats(1, 4), st.integers(1, 2000), st.integers(1, 4))
def test_the_limits_add_up_and_every_queue_empties(
    given_loads: list[float], burst: float, budget: int, processes: int
) -> None:
    tenants = [tenant(f"s{number}", load, burst) for number, load in enumerate(given_loads)]
    try:
        plan = share_out(tenants, budget, processes)
    except PoolerCannotHelp:
        assert sum(math.floor(load / processes) + 1 for load in given_loads) > budget // processes
        return
    assert plan.connections <= budget
    for one in tenants:
        assert plan.shares[one.service].pool_size > one.load / processes
        assert plan.shares[one.service].reserve >= 0


@pytest.mark.parametrize(
    ("services", "budget", "told"),
    [
        ([], 10, "none"),
        ([tenant("a", 1), tenant("a", 1)], 10, "a name of its own"),
        ([tenant("a", 1)], 0, "budget is 0"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(services: list[Tenant], budget: int, told: str) -> None:
    with pytest.raises(BadNumber, match=told):
        share_out(services, budget)


def test_the_longest_wait_leaves_time_for_the_work() -> None:
    plan = share_out([tenant("orders", 1)], 10)
    assert plan.query_wait == 4
    impatient = Tenant("orders", 1, 1, 5, slow_hold=3, patience=2, user="postgres")
    assert share_out([impatient], 10).query_wait == 1
