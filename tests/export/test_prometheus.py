"""What Prometheus is told about pools that this process has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from tests.export.moments import BUSY, POOL, UNUSED, value, values

from poolkeeper import ConnectFailure
from poolkeeper.model import CloseReason, PoolSnapshot, RefusalReason, Retries
from poolkeeper.observe.prometheus import pool_metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def exported(registry: CollectorRegistry, *pools: PoolSnapshot) -> CollectorRegistry:
    pool_metrics(registry).add(*(lambda pool=pool: pool for pool in pools))
    return registry


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("db_client_connection_max", 12),
        ("db_client_connection_idle_min", 2),
        ("db_client_connection_pending_requests", 5),
        ("db_client_connection_timeouts_total", 30),
        ("poolkeeper_pool_size", 10),
        ("poolkeeper_connecting", 1),
        ("poolkeeper_pool_timeout_seconds", 10),
        ("poolkeeper_oldest_holder_seconds", 75),
        ("poolkeeper_oldest_waiter_seconds", 4.5),
        ("poolkeeper_leaked_holders", 1),
        ("poolkeeper_nested_holders", 1),
        ("poolkeeper_connect_trouble_seconds", 1.5),
        ("poolkeeper_requests_total", 1000),
        ("poolkeeper_waited_total", 70),
        ("poolkeeper_checkouts_total", 950),
        ("poolkeeper_checkins_total", 938),
        ("poolkeeper_nested_checkouts_total", 11),
        ("poolkeeper_cancelled_waits_total", 4),
        ("poolkeeper_leaked_total", 2),
        ("db_client_connection_wait_time_seconds_sum", 7.3),
        ("db_client_connection_create_time_seconds_count", 1),
        ("db_client_connection_use_time_seconds_sum", 40.004),
        ("poolkeeper_hold_in_sql_seconds_sum", 1.003),
        ("poolkeeper_hold_gap_seconds_sum", 39.001),
    ],
)
def test_each_number_is_the_snapshots(registry: CollectorRegistry, name: str, expected: float) -> None:
    assert value(exported(registry, BUSY), name, **{POOL: "orders"}) == pytest.approx(expected)


def test_retries_are_those_of_a_database_and_left_out_elsewhere(registry: CollectorRegistry) -> None:
    retries = Retries(transactions=50, retried={"deadlock": 3}, refused=2, unknown=1)
    exported(registry, replace(BUSY, retries=retries))
    assert value(registry, "poolkeeper_transactions_total") == 50
    assert value(registry, "poolkeeper_retries_total", reason="deadlock") == 3
    assert value(registry, "poolkeeper_retries_total", reason="disconnect") == 0
    assert value(registry, "poolkeeper_retries_refused_total") == 2
    assert value(registry, "poolkeeper_commits_unknown_total") == 1
    assert not values(exported(CollectorRegistry(), BUSY), "poolkeeper_transactions_total")


def test_states_and_reasons_are_labels(registry: CollectorRegistry) -> None:
    exported(registry, replace(BUSY, idle=3))

    assert value(registry, "db_client_connection_count", db_client_connection_state="used") == 12
    assert value(registry, "db_client_connection_count", db_client_connection_state="idle") == 3
    assert value(registry, "poolkeeper_closed_total", reason="idle") == 6
    assert value(registry, "poolkeeper_connect_failures_total", reason="too-many-connections") == 1
    assert value(registry, "poolkeeper_refused_total", reason="max-waiting") == 10
    assert value(registry, "poolkeeper_refused_total", reason="nobody-returns") == 5


def test_buckets_add_up_from_the_smallest(registry: CollectorRegistry) -> None:
    exported(registry, BUSY)
    name = "db_client_connection_wait_time_seconds_bucket"

    assert [value(registry, name, le=le) for le in ("0.0005", "0.1", "0.5", "5.0", "10.0", "+Inf")] == [
        2,
        2,
        3,
        3,
        4,
        4,
    ]


def test_what_has_not_happened_yet_is_there_with_zero(registry: CollectorRegistry) -> None:
    exported(registry, UNUSED)

    assert values(registry, "poolkeeper_closed_total") == [0] * len(CloseReason)
    assert values(registry, "poolkeeper_connect_failures_total") == [0] * len(ConnectFailure)
    assert values(registry, "poolkeeper_refused_total") == [0] * len(RefusalReason)
    for name in ("db_client_connection_timeouts_total", "poolkeeper_leaked_total"):
        assert value(registry, name) == 0
    assert value(registry, "db_client_connection_wait_time_seconds_count") == 0
    assert value(registry, "poolkeeper_event_loop_lag_seconds_count") == 0


def test_what_has_no_limit_has_no_number(registry: CollectorRegistry) -> None:
    assert values(exported(registry, UNUSED), "db_client_connection_max") == []


def test_what_a_pool_cannot_tell_is_left_out(registry: CollectorRegistry) -> None:
    exported(registry, replace(BUSY, unknown=frozenset({"waiting", "timings.waits", "totals.timed_out", "closed"})))

    for name in (
        "db_client_connection_pending_requests",
        "db_client_connection_wait_time_seconds_count",
        "db_client_connection_timeouts_total",
        "poolkeeper_closed_total",
        "poolkeeper_leaked_total",
    ):
        assert values(registry, name) == []
    assert sum(values(registry, "poolkeeper_refused_total")) == 15


def test_a_scrape_reads_the_pools_anew(registry: CollectorRegistry) -> None:
    moments = iter([BUSY, UNUSED])
    pool_metrics(registry).add(lambda: next(moments))

    assert value(registry, "db_client_connection_pending_requests") == 5
    assert value(registry, "db_client_connection_pending_requests") == 0


def test_pools_are_told_apart_by_name_and_one_name_is_one_pool(registry: CollectorRegistry) -> None:
    exported(registry, BUSY, replace(BUSY, name="reports", waiting=1), replace(BUSY, waiting=2, pool_timeout=3.0))

    assert value(registry, "db_client_connection_pending_requests", **{POOL: "orders"}) == 7
    assert value(registry, "db_client_connection_pending_requests", **{POOL: "reports"}) == 1
    assert value(registry, "poolkeeper_pool_timeout_seconds", **{POOL: "orders"}) == 10
    assert value(registry, "db_client_connection_wait_time_seconds_count", **{POOL: "orders"}) == 8
    # They work on one event loop, in one process.
    assert value(registry, "poolkeeper_event_loop_lag_seconds_count") == 3
    assert value(registry, "poolkeeper_event_loop_lag_recent_seconds") == 0.4
    assert value(registry, "poolkeeper_workers") == 1


def test_a_source_added_twice_is_read_once_and_leaves_with_the_last(registry: CollectorRegistry) -> None:
    def source() -> PoolSnapshot:
        return BUSY

    metrics = pool_metrics(registry)
    metrics.add(source)
    metrics.add(source)
    assert value(registry, "db_client_connection_pending_requests") == 5
    metrics.remove(source)
    assert value(registry, "db_client_connection_pending_requests") == 5
    metrics.remove(source)
    assert values(registry, "db_client_connection_pending_requests") == []


def test_registering_waits_for_no_pool(registry: CollectorRegistry) -> None:
    def source() -> PoolSnapshot:
        raise AssertionError("a pool was read")

    pool_metrics(registry).add(source)
    assert {family.name for family in pool_metrics(registry).describe()} >= {"db_client_connection_count"}
