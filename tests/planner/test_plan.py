"""A plan says whether all fits, why, and what the smallest changes are that make it fit."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.docs.pages import ROOT, blocks

from poolkeeper.planner.budget import Situation, available, budget_of
from poolkeeper.planner.output import environment_of, python_of, settings_of
from poolkeeper.planner.plan import Plan, plan
from poolkeeper.planner.problems import problems_in
from poolkeeper.planner.queueing import waits
from poolkeeper.planner.refused import WorkloadRefused
from poolkeeper.planner.sizing import sizing_of
from poolkeeper.planner.workload import DatabaseServer, PoolerLimits, Service, Workload
from poolkeeper.settings import DatabaseSettings

ORDERS = Service(name="orders", rps=400, hold=0.05, pods=2, workers=4)
SERVER = DatabaseServer(max_connections=200)
URL = "postgresql+asyncpg://reader@db/shop"


def planned(service: Service = ORDERS, server: DatabaseServer = SERVER, **values: Any) -> Plan:
    return plan(Workload(services=(replace(service, **values),), server=server))


def codes(found: Plan) -> list[str]:
    return [finding.code for finding in found.findings]


def names(found: Plan) -> list[str]:
    return [change.name for change in found.changes]


def test_what_fits_has_no_findings_and_no_changes():
    found = planned()
    assert (found.fits, found.findings, found.changes) == (True, (), ())
    assert found.of("orders").sizing.pool_size.value == 6
    with pytest.raises(KeyError):
        found.of("search")


def test_a_wrong_workload_is_refused():
    with pytest.raises(WorkloadRefused, match=r"services\.orders\.rps"):
        planned(rps=math.nan)


# The queue


def test_the_queue_is_that_of_one_process_and_losses_are_of_all():
    peak, burst = planned().of("orders").queues
    theory = waits(50, 0.05, 6)
    assert (peak.situation, burst.situation) == ("peak", "burst")
    assert peak.utilisation == pytest.approx(theory.utilisation)
    assert peak.waiting_probability == pytest.approx(theory.waiting_probability)
    assert peak.wait_p99 == pytest.approx(theory.quantile(0.99))
    assert burst.offered == pytest.approx(800 * 0.05 / 48)
    assert peak.refusals_per_second < 1e-9


def test_what_a_pool_cannot_carry_is_refused():
    found = planned(pool_size=2)
    peak = found.of("orders").queues[0]
    # 16 connections serve 320 of 400 a second.
    assert peak.refusals_per_second + peak.timeouts_per_second == pytest.approx(80, rel=0.01)
    assert peak.lost == pytest.approx(0.2, rel=0.01)
    assert codes(found)[0] == "plan-pool-too-small"
    assert [(change.name, change.what) for change in found.changes] == [
        ("larger pools", "pool_size in each process: orders 2 -> 6")
    ]


def test_beyond_the_knee_is_told():
    assert codes(planned(pool_size=4)) == ["plan-beyond-knee", "plan-callers-refused"]
    knee = planned().of("orders").knee
    assert knee.rate > 400 > planned(pool_size=4).of("orders").knee.rate


def test_the_assumption_is_stated():
    assert "M/M/c, exact" in planned().of("orders").assumption
    assert "Allen and Cunneen" in planned(hold_p99=0.3).of("orders").assumption


def test_skewed_holds_need_larger_pools():
    sizes = [planned(hold_p99=p99).of("orders").sizing.pool_size.value for p99 in (0.05, 0.2, 0.5)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_pooler_has_a_queue_of_its_own():
    server = replace(SERVER, pooler=PoolerLimits(pool_size=24, max_client_conn=500))
    found = planned(server=server, pooler=True)
    assert found.fits
    peak, _ = found.of("orders").pooler_queues
    assert peak.utilisation == pytest.approx(20 / 24)
    narrow = planned(server=replace(server, pooler=PoolerLimits(pool_size=20, max_client_conn=500)), pooler=True)
    assert codes(narrow)[0] == "plan-pool-too-small"
    assert narrow.findings[0].subject == "orders, peak, in the pooler"
    assert names(narrow) == ["pooler"]


def test_a_pooler_in_session_mode_shares_nothing():
    pooler = PoolerLimits(mode="session", pool_size=50, max_client_conn=500)
    found = planned(server=replace(SERVER, pooler=pooler), pooler=True)
    assert (codes(found), found.of("orders").pooler_queues) == (["plan-sessions-not-shared"], ())
    assert "up to 96 connections" in found.findings[0].seen
    assert names(found) == ["pooler"]
    assert planned(server=replace(SERVER, pooler=replace(pooler, pool_size=96)), pooler=True).fits


# What else is wrong


def test_more_active_sessions_than_the_cores_can_work_for():
    server = replace(SERVER, cores=4)
    assert codes(planned(server=server)) == ["plan-cores-exceeded"]
    # Nine of ten milliseconds are spent on the network: two sessions are active.
    assert codes(planned(server=replace(server, round_trip=0.009), round_trips=5)) == []


def test_slow_holds_outlast_their_callers():
    assert codes(planned(client_timeout=0.2)) == ["plan-slow-holds"]
    assert codes(planned(client_timeout=0.5)) == []


def test_nested_checkouts_without_a_bound_are_told():
    nested = {"rps": 100, "connections_per_request": 2}
    assert codes(planned(**nested)) == ["plan-nested-checkouts"]
    assert codes(planned(**nested, concurrency=8)) == []
    small = planned(**nested, concurrency=8, pool_size=8)
    assert codes(small) == ["plan-pool-locks"]
    assert small.changes[0].what == "pool_size in each process: orders 8 -> 9"


def test_a_deploy_at_the_maximum_is_a_warning():
    found = planned(max_pods=5)
    assert (found.fits, codes(found)) == (True, ["plan-deploy-at-maximum"])


# Rules


def test_every_rule_is_there_with_its_numbers():
    found = planned(server=replace(SERVER, cores=8, spindles=1), connections_per_request=2, concurrency=3, rps=200)
    rules = {rule.name: rule for rule in found.rules}
    assert rules["Little's law"].formula == "400/s x 50ms = 20"
    assert rules["cores x 2 + spindles"].formula == "8 x 2 + 1 = 17"
    assert rules["workers x (pool + overflow)"].formula == "2 pods x 4 workers x (6 + 0) = 48"
    assert rules["pool-locking"].formula == "3 x (2 - 1) + 1 = 4"
    assert rules["5 to 20 per pod"].formula == "5 to 20 per pod; here 6 x 4 workers = 24"
    assert rules["20 to 30 % reserve"].formula == "1 - (48 + 0 + 3) / 200 = 74% free"


def test_rules_that_disagree_are_named():
    found = planned(server=replace(SERVER, cores=4))
    assert {rule.name for rule in found.rules if rule.agrees is False} == {"5 to 20 per pod", "cores x 2 + spindles"}
    (cores,) = (rule for rule in found.rules if rule.name == "cores x 2 + spindles")
    assert "Taken for all 48 connections it disagrees with the rules above" in cores.verdict
    (unknown,) = (rule for rule in planned().rules if rule.name == "cores x 2 + spindles")
    assert unknown.agrees is None


# Changes


def over_budget(**values: Any) -> Plan:
    return planned(**({"pods": 4, "pool_size": 20} | values))


def test_smaller_pools_come_first_and_are_as_large_as_fits():
    found = over_budget()
    assert names(found) == ["smaller pools", "fewer workers", "pooler", "larger server"]
    (smaller, *_) = found.changes
    assert smaller.what == "pool_size + max_overflow in each process: orders 20 -> 6"
    one_more = replace(smaller.workload.services[0], pool_size=7)
    assert not plan(replace(smaller.workload, services=(one_more,))).fits


def test_pools_that_have_to_stay_large_are_not_made_smaller():
    # After the loss of a zone each process needs three connections for the peak, and 3 x 32 are too many.
    found = over_budget(client_timeout=2.0, zones=3, max_pods=8, server=replace(SERVER, max_connections=100))
    assert "smaller pools" not in names(found)
    assert {"pooler", "larger server"} <= set(names(found))


def test_a_larger_server_is_no_larger_than_needed():
    (larger,) = (change for change in over_budget().changes if change.name == "larger server")
    connections = larger.workload.server.max_connections
    assert larger.what == f"max_connections 200 -> {connections}"
    less = replace(larger.workload, server=replace(larger.workload.server, max_connections=connections - 1))
    assert not plan(less).fits


def test_fewer_workers_are_as_many_as_fit():
    found = planned(pods=20)
    (fewer,) = (change for change in found.changes if change.name == "fewer workers")
    service = fewer.workload.services[0]
    assert service.workers < 4
    more = replace(service, workers=service.workers + 1)
    worst = budget_of(
        replace(fewer.workload, services=(more,)), {"orders": sizing_of(replace(more, pool_size=5), SERVER)}
    ).server.worst
    assert worst > available(fewer.workload).value


def test_each_service_gives_what_it_can_spare():
    services = tuple(replace(ORDERS, name=name, pool_size=20, rps=rps) for name, rps in (("big", 700), ("small", 10)))
    found = plan(Workload(services=services, server=SERVER))
    sizes = {one.name: one.pool_size for one in found.changes[0].workload.services}
    assert found.changes[0].name == "smaller pools"
    assert sizes["big"] > sizes["small"]


@settings(max_examples=25, deadline=None)
@given(
    rps=st.floats(1, 1000),
    hold=st.floats(0.001, 0.3),
    pods=st.integers(1, 12),
    workers=st.integers(1, 8),
    pool_size=st.none() | st.integers(1, 50),
    max_overflow=st.integers(0, 10),
    zones=st.integers(1, 3),
    extra=st.integers(0, 6),
    client_timeout=st.none() | st.floats(0.5, 30),
    max_connections=st.integers(20, 1000),
    pooler=st.none() | st.integers(1, 60),
)
def test_every_change_is_enough_by_itself(max_connections, pooler, extra, pods, **values):
    service = Service(name="any", pods=pods, max_pods=pods + extra, pooler=pooler is not None, **values)
    limits = None if pooler is None else PoolerLimits(pool_size=pooler)
    workload = Workload(services=(service,), server=DatabaseServer(max_connections=max_connections, pooler=limits))
    if problems_in(workload):
        return
    found = plan(workload)
    json.dumps(found.as_dict(), allow_nan=False)
    assert found.fits == (not any(finding.severity == "error" for finding in found.findings))
    for change in found.changes:
        assert plan(change.workload).fits, change


# Output


@pytest.mark.parametrize("values", [{}, {"client_timeout": 2.0}, {"client_timeout": 60.0}, {"max_pods": 4}])
def test_the_settings_are_those_that_the_plan_means(values):
    found = planned(**values)
    one = found.of("orders")
    given_settings = settings_of(one, SERVER)
    effective = DatabaseSettings(URL, **given_settings).examine()
    assert not [finding for finding in effective.findings if finding.severity != "info"]
    assert effective.pool_timeout == pytest.approx(one.sizing.pool_timeout.value)
    assert effective.pool_size == one.sizing.pool_size.value
    assert effective.max_waiting == one.sizing.max_waiting.value
    assert effective.pool_recycle == one.sizing.recycle.value


def test_environment_and_python_say_the_same(monkeypatch):
    one = planned(client_timeout=2.0).of("orders")
    for name, value in environment_of(one, SERVER).items():
        monkeypatch.setenv(name, value)
    from_environment = DatabaseSettings(URL)
    for name, value in settings_of(one, SERVER).items():
        assert getattr(from_environment, name) == value
    code = python_of(one, SERVER)
    compile(code, "plan", "exec")
    assert "pool_size=6," in code


def test_behind_a_pooler_the_servers_limits_are_not_the_services():
    server = replace(SERVER, pooler=PoolerLimits(pool_size=40, max_client_conn=500))
    one = planned(server=server, pooler=True).of("orders")
    assert "DATABASE_POOL_SIZE" in environment_of(one, server)
    assert "DATABASE_MAX_CONNECTIONS" not in environment_of(one, server)


def test_json_has_every_figure():
    found = over_budget().as_dict()
    text = json.loads(json.dumps(found))
    assert text["fits"] is False
    orders = text["services"]["orders"]
    assert orders["sizing"]["pool_size"]["value"] == 20
    assert [queue["situation"] for queue in orders["queues"]] == ["peak", "burst"]
    assert text["budget"]["server"]["over"][Situation.DEPLOY] == 480 - text["budget"]["server"]["limit"]["value"]
    assert [change["name"] for change in text["changes"]] == names(over_budget())


def test_the_guide_is_right(capsys):
    planning, simulating = (block.code for block in blocks(ROOT / "docs/guides/plan.md") if block.info == "python")
    exec(compile(planning, "plan.md", "exec"), {})
    said = [line.partition("  # ")[2].partition(",")[0] for line in planning.splitlines() if line.startswith("print(")]
    assert capsys.readouterr().out.split() == said
    exec(compile(simulating, "plan.md", "exec"), {})
    endpoints = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert endpoints == ["orders", "report"] * 2
