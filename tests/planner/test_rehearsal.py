"""A plan is played through as it was worked out, and the stock pool beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from poolkeeper.model import Histogram
from poolkeeper.planner import rehearsal
from poolkeeper.planner.plan import plan
from poolkeeper.planner.rehearsal import KEEPER, OVERLOAD, STOCK, Rehearsed, rehearse
from poolkeeper.planner.workload import DatabaseServer, PoolerLimits, Service, Workload

ORDERS = Service(name="orders", rps=200, hold=0.05, pods=2, workers=2, client_timeout=2.0)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "_SECONDS", 20.0)


def played(server: DatabaseServer | None = None, **values: Any) -> dict[tuple[str, str], Rehearsed]:
    service = replace(ORDERS, **values)
    found = rehearse(plan(Workload(services=(service,), server=server or DatabaseServer())))
    return {(one.situation, one.pool): one for one in found}


def test_the_peak_and_a_burst_lose_nobody_as_the_plan_promises() -> None:
    found = played()
    assert {situation for situation, _ in found} == {"peak", "burst", OVERLOAD}
    for situation in ("peak", "burst"):
        ours = found[situation, KEEPER]
        assert ours.served == pytest.approx(ours.checkouts_per_second, rel=0.1)
        assert (ours.refused, ours.timed_out, ours.lost_clients) == (0, 0, 0)


def test_an_overload_is_where_the_pools_differ() -> None:
    found = played()
    ours, stock = found[OVERLOAD, KEEPER], found[OVERLOAD, STOCK]
    capacity = ours.checkouts_per_second / 1.5
    assert ours.served == pytest.approx(capacity, rel=0.05)
    assert ours.refused == pytest.approx(ours.checkouts_per_second - capacity, rel=0.15)
    assert ours.lost_clients < 0.02 * capacity
    assert stock.served < 0.7 * ours.served
    assert stock.lost_clients > 0.3 * capacity
    assert stock.refused == 0


def test_what_is_known_of_the_holds_is_played() -> None:
    histogram = Histogram((50, 45, 5, 0), 5.0, (0.01, 0.1, 1.0))
    spread = [played(rps=40, pods=1, workers=1, pool_size=5, **known) for known in ({}, {"hold_p99": 0.4})]
    spread.append(played(rps=40, pods=1, workers=1, pool_size=5, hold_histogram=histogram))
    assert len({one["peak", KEEPER].response_p99 for one in spread}) == 3


@pytest.mark.parametrize(("mode", "waits"), [("transaction", True), ("session", False)])
def test_a_pooler_in_transaction_mode_has_its_share_of_the_wait(mode: Any, waits: bool) -> None:
    limits = PoolerLimits(mode=mode, pool_size=11, max_client_conn=1000)
    found = played(DatabaseServer(pooler=limits), pooler=True)["peak", KEEPER]
    # The simulated hold is 230 ms at its 99th percentile by itself.
    assert (found.response_p99 > 0.3) is waits


def test_the_same_seed_plays_the_same() -> None:
    assert played() == played()
