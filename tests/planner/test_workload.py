"""A workload is read as it is written, or refused with every problem at once."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolkeeper.model import Histogram
from poolkeeper.planner import quantities as q
from poolkeeper.planner.problems import problems_in
from poolkeeper.planner.quantities import Surge
from poolkeeper.planner.reading import workload_of
from poolkeeper.planner.refused import WorkloadRefused
from poolkeeper.planner.workload import DatabaseServer, PoolerLimits, Service, Workload, fields_of

ORDERS = {"rps": 400, "hold": "50ms"}


def read(service: dict[str, object] | None = None, **server: object) -> Workload:
    return workload_of({"services": {"orders": ORDERS | (service or {})}, "server": server})


def refused(service: dict[str, object] | None = None, **server: object) -> list[tuple[str, str]]:
    with pytest.raises(WorkloadRefused) as caught:
        read(service, **server)
    return [(finding.code, finding.subject) for finding in caught.value.findings]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("50ms", 0.05), ("1.5s", 1.5), ("2m", 120), ("2min", 120), ("1h", 3600), (" 250 us ", 0.00025), ("1e2ms", 0.1)],
)
def test_durations_have_a_unit(written, seconds):
    assert q.duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["50", 50, 0.05, "fast", "5 parsecs", "", None, True, "nanms", [], "1s 5ms"])
def test_what_is_no_duration_is_not_guessed(written):
    with pytest.raises(ValueError):
        q.duration(written)


@given(st.floats(1e-6, 86_400))
def test_a_duration_in_words_can_be_read_again(seconds):
    assert q.duration(q.in_words(seconds)) == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(
    ("written", "running", "pods"),
    [
        ("25%", 4, 1),
        ("25%", 5, 2),
        ("100%", 3, 3),
        ("0%", 9, 0),
        (2, 9, 2),
        ("2", 9, 2),
        ("10%", 10, 1),
        ("30%", 10, 3),
    ],
)
def test_a_surge_is_rounded_up_to_whole_pods(written, running, pods):
    assert q.surge(written).of(running) == pods


def test_a_document_becomes_a_workload():
    workload = workload_of(
        {
            "services": {"orders": ORDERS | {"db_share": "80%", "surge": 1, "pooler": True}},
            "server": {"max_connections": 200, "round_trip": "1ms", "pooler": {"mode": "session"}},
        }
    )
    assert workload == Workload(
        services=(Service(name="orders", rps=400, hold=0.05, db_share=0.8, surge=Surge(pods=1), pooler=True),),
        server=DatabaseServer(max_connections=200, round_trip=0.001, pooler=PoolerLimits(mode="session")),
    )


@pytest.mark.parametrize("kind", [Service, DatabaseServer, PoolerLimits])
def test_every_default_is_itself_possible(kind):
    for field in fields_of(kind).values():
        assert field.is_required or field.default is None or field.quantity.takes(field.default), field.name


def test_the_mean_hold_is_that_of_the_histogram_where_it_is_not_given():
    table = {"10ms": 50, "30ms": 50}
    service = workload_of({"services": {"orders": {"rps": 1, "hold_histogram": table}}}).services[0]
    assert service.hold == pytest.approx(0.0125)  # half of them around 5 ms, half around 20 ms
    assert service.hold_histogram == Histogram((50, 50, 0), pytest.approx(1.25), (0.01, 0.03))


def test_a_provider_brings_what_is_known_of_it():
    assert read(provider="neon").server.reserved == 7
    assert read(provider="neon", reserved=1).server.reserved == 1


@pytest.mark.parametrize(
    ("service", "server", "where"),
    [
        ({"rps": 0}, {}, "services.orders.rps"),
        ({"rps": -1}, {}, "services.orders.rps"),
        ({"rps": math.nan}, {}, "services.orders.rps"),
        ({"rps": math.inf}, {}, "services.orders.rps"),
        ({"rps": True}, {}, "services.orders.rps"),
        ({"rps": "many"}, {}, "services.orders.rps"),
        ({"hold": 50}, {}, "services.orders.hold"),
        ({"hold": "0ms"}, {}, "services.orders.hold"),
        ({"hold": "-5ms"}, {}, "services.orders.hold"),
        ({"db_share": 1.2}, {}, "services.orders.db_share"),
        ({"burst": 0.5}, {}, "services.orders.burst"),
        ({"pods": 2.5}, {}, "services.orders.pods"),
        ({"pods": 10**400}, {}, "services.orders.pods"),
        ({"workers": 0}, {}, "services.orders.workers"),
        ({"surge": "200%"}, {}, "services.orders.surge"),
        ({"surge": "-1"}, {}, "services.orders.surge"),
        ({"pooler": "yes"}, {}, "services.orders.pooler"),
        ({"hold_histogram": {}}, {}, "services.orders.hold_histogram"),
        ({"hold_histogram": {"10ms": -1, "20ms": 5}}, {}, "services.orders.hold_histogram"),
        ({"hold_histogram": 5}, {}, "services.orders.hold_histogram"),
        ({}, {"max_connections": 0}, "server.max_connections"),
        ({}, {"max_connections": math.nan}, "server.max_connections"),
        ({}, {"headroom": 1}, "server.headroom"),
        ({}, {"provider": "nobody"}, "server.provider"),
        ({}, {"pooler": {"mode": "statement"}}, "server.pooler.mode"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(service, server, where):
    assert refused(service, **server) == [("workload-value-impossible", where)]


@pytest.mark.parametrize(
    ("service", "server", "where", "said"),
    [
        ({"client_timeout": "50ms"}, {}, "services.orders.hold", "hold is 50ms, client_timeout 50ms"),
        ({"hold_p99": "10ms"}, {}, "services.orders.hold_p99", "shorter than their mean"),
        ({"hold_p99": "1s"}, {}, "services.orders.hold_p99", "more than 12 times the mean"),
        ({"hold_histogram": {"1ms": 9}}, {}, "services.orders.hold", "between 0s and 1ms"),
        (
            {"hold_p99": "90ms", "hold_histogram": {"80ms": 9}},
            {},
            "services.orders.hold_p99",
            "hold_p99 and hold_histogram are given",
        ),
        ({"pods": 2, "min_pods": 3}, {}, "services.orders.min_pods", "min_pods is 3, pods 2"),
        ({"pods": 2, "max_pods": 1}, {}, "services.orders.max_pods", "max_pods is 1, pods 2"),
        ({"concurrency": 5, "workers": 4}, {}, "services.orders.concurrency", "run at least 5 processes"),
        ({}, {"round_trip": "60ms"}, "services.orders.hold", "1 round trips of 60ms take 60ms"),
        ({"pooler": True}, {}, "services.orders.pooler", "the server has none"),
        ({}, {"pooler": {}}, "server.pooler", "no service goes through it"),
        ({}, {"max_connections": 20}, "server.max_connections", "85% of what they are"),
        ({}, {"other_clients": 97}, "server.max_connections", "no connection is left"),
    ],
)
def test_values_that_contradict_each_other_are_refused(service, server, where, said):
    with pytest.raises(WorkloadRefused, match="1 value of the workload is refused") as caught:
        read(service, **server)
    (finding,) = caught.value.findings
    assert (finding.code, finding.subject) == ("workload-contradicts-itself", where)
    assert said in str(finding)


def test_demand_is_compared_with_what_the_server_has_for_all_services():
    half = {"rps": 1000, "hold": "50ms"}
    assert workload_of({"services": {"a": half}, "server": {"max_connections": 100}})
    with pytest.raises(WorkloadRefused, match="100 connections in use on average at peak"):
        workload_of({"services": {"a": half, "b": half}, "server": {"max_connections": 100}})


def test_all_problems_are_told_at_once():
    with pytest.raises(WorkloadRefused, match="5 values of the workload are refused") as caught:
        workload_of(
            {
                "services": {"orders": {"rps": "x", "hold": "50ms", "pod": 2}, "search": {"rps": 1, "hold": 1}},
                "server": {"max_conections": 1},
                "sever": {},
            }
        )
    advice = {finding.subject: finding.fix for finding in caught.value.findings}
    assert advice["services.orders.pod"] == "Write pods, if that was meant"
    assert advice["server.max_conections"] == "Write max_connections, if that was meant"
    assert advice["sever"] == "Write server, if that was meant"
    assert {"services.orders.rps", "services.search.hold"} < advice.keys()


@pytest.mark.parametrize(
    ("document", "subjects"),
    [
        ({}, ["services"]),
        ({"services": {}}, ["services"]),
        ({"services": 3}, ["services"]),
        ({"services": {"orders": 3}}, ["services.orders"]),
        ({"services": {"orders": {}}}, ["services.orders.rps", "services.orders.hold"]),
        ({"services": {"": ORDERS}}, ["services..name"]),
        ({"services": {"orders": ORDERS}, "server": []}, ["server"]),
        ({"services": {"orders": ORDERS}, "server": {"pooler": 1}}, ["server.pooler", "server.pooler"]),
    ],
)
def test_a_document_of_another_shape_is_refused(document, subjects):
    with pytest.raises(WorkloadRefused) as caught:
        workload_of(document)
    assert [finding.subject for finding in caught.value.findings] == subjects


def test_a_workload_that_is_put_together_in_code_is_checked_too():
    service = Service(name="orders", rps=400, hold=0.05)
    fine = Workload(services=(service,))
    assert problems_in(fine) == ()
    wrong = replace(fine, services=(replace(service, rps=math.nan, pods=0),))
    assert [one.subject for one in problems_in(wrong)] == ["services.orders.rps", "services.orders.pods"]
    assert [one.subject for one in problems_in(replace(fine, services=(service, service)))] == ["services.orders"]
    assert [one.code for one in problems_in(Workload(services=()))] == ["workload-empty"]


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["50ms", "0s", "1h", "25%", "-1", "transaction"]),
)
_NAMES = st.sampled_from(
    [*fields_of(Service), *fields_of(DatabaseServer), *fields_of(PoolerLimits), "services", "server"]
)
_TABLES = st.recursive(_LEAVES, lambda inner: st.dictionaries(_NAMES | st.text(max_size=5), inner, max_size=6))


@settings(max_examples=40, deadline=None)
@given(_TABLES, _TABLES)
def test_whatever_is_written_is_read_or_refused(services, server):
    try:
        workload = workload_of({"services": services, "server": server})
    except WorkloadRefused as error:
        problems = error.findings
    else:
        problems = problems_in(workload)
        assert not problems
    assert all(finding.subject and finding.seen and finding.fix for finding in problems)
