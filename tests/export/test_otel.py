"""What an OpenTelemetry SDK collects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from opentelemetry.metrics import Meter, NoOpMeterProvider
from opentelemetry.metrics import MeterProvider as ApiMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.export.moments import BUSY
from tests.servers import FreshDatabase

from poolkeeper.model import BOUNDS, PoolEvent, PoolEventKind, PoolSnapshot
from poolkeeper.observe.otel import OtelObserver, is_measured, observer_for, register
from poolkeeper.pool import KeeperPool

NAME = "db.client.connection.pool.name"


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader: InMemoryMetricReader) -> Iterator[MeterProvider]:
    provider = MeterProvider([reader])
    yield provider
    provider.shutdown()


def collected(reader: InMemoryMetricReader) -> dict[str, Any]:
    data = reader.get_metrics_data()
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
    assert {(scope.scope.name, scope.schema_url) for scope in scopes} <= {
        ("poolkeeper", "https://opentelemetry.io/schemas/1.44.0")
    }
    return {metric.name: metric for scope in scopes for metric in scope.metrics}


def point(metric: Any, **attributes: str) -> Any:
    found = [each for each in metric.data.data_points if attributes.items() <= each.attributes.items()]
    (only,) = found
    return only


# Name: instrument (sum that only grows, sum that goes both ways, gauge), unit.
STANDARD = {
    "db.client.connection.count": ("up-down", "{connection}"),
    "db.client.connection.max": ("up-down", "{connection}"),
    "db.client.connection.idle.min": ("up-down", "{connection}"),
    "db.client.connection.pending_requests": ("up-down", "{request}"),
    "db.client.connection.timeouts": ("counter", "{timeout}"),
}


def kind_of(metric: Any) -> str:
    if not hasattr(metric.data, "is_monotonic"):
        return "gauge"
    return "counter" if metric.data.is_monotonic else "up-down"


def test_names_units_and_instruments_are_those_of_the_conventions(
    reader: InMemoryMetricReader, provider: MeterProvider
) -> None:
    register([lambda: BUSY], provider)
    found = collected(reader)

    assert {name: (kind_of(found[name]), found[name].unit) for name in STANDARD} == STANDARD
    for state, number in {"used": 12, "idle": 0}.items():
        count = point(found["db.client.connection.count"], **{"db.client.connection.state": state})
        assert (count.value, count.attributes[NAME]) == (number, "orders")
    assert point(found["db.client.connection.timeouts"]).value == 30
    assert kind_of(found["poolkeeper.oldest_holder"]) == "gauge"
    assert (found["poolkeeper.oldest_holder"].unit, point(found["poolkeeper.oldest_holder"]).value) == ("s", 75)
    assert point(found["poolkeeper.closed"], reason="idle").value == 6
    assert point(found["poolkeeper.event_loop.lag.recent"]).attributes == {}


def test_each_collection_reads_the_pools_once(reader: InMemoryMetricReader, provider: MeterProvider) -> None:
    moments = iter([BUSY, replace(BUSY, waiting=1)])
    register([lambda: next(moments)], provider)

    assert point(collected(reader)["db.client.connection.pending_requests"]).value == 5
    assert point(collected(reader)["db.client.connection.pending_requests"]).value == 1


def test_nothing_is_told_after_the_end(reader: InMemoryMetricReader, provider: MeterProvider) -> None:
    registration = register([lambda: BUSY], provider)
    registration.close()

    assert all(not metric.data.data_points for metric in collected(reader).values())


def test_pools_come_and_go_on_one_set_of_instruments(
    reader: InMemoryMetricReader, provider: MeterProvider, caplog: pytest.LogCaptureFixture
) -> None:
    first = register([lambda: BUSY], provider)
    second = register([lambda: replace(BUSY, name="reports")], provider)
    first.close()
    assert point(collected(reader)["db.client.connection.max"]).attributes == {NAME: "reports"}
    second.close()
    third = register([lambda: BUSY], provider)
    assert point(collected(reader)["db.client.connection.max"]).attributes == {NAME: "orders"}
    third.close()
    assert caplog.text == ""


@dataclass
class Wrapping(ApiMeterProvider):
    """As others wrap the SDK: equal by value and so without a hash, and its meters take no advice."""

    provider: MeterProvider

    def get_meter(self, *args: Any, **kwargs: Any) -> Meter:
        meter = self.provider.get_meter(*args, **kwargs)
        plain = meter.create_histogram
        meter.create_histogram = lambda name, unit="", description="": plain(name, unit, description)  # type: ignore[method-assign]
        return meter


def test_a_wrapper_of_the_sdk_does_as_well(reader: InMemoryMetricReader, provider: MeterProvider) -> None:
    wrapping = Wrapping(provider)
    for _ in range(2):
        register([lambda: BUSY], wrapping).close()
    registration = register([lambda: BUSY], wrapping)
    OtelObserver("orders", wrapping).took("waits", 0.02)
    found = collected(reader)
    assert point(found["db.client.connection.max"]).value == 12
    assert point(found["db.client.connection.wait_time"]).count == 1
    registration.close()


def test_an_sdk_that_raises_costs_nobody_a_connection(
    provider: MeterProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    observer = OtelObserver("orders", provider)
    monkeypatch.setattr("opentelemetry.sdk.metrics._internal.instrument.Histogram.record", lambda *_: 1 / 0)
    for _ in range(3):
        observer.took("waits", 0.0)
    assert caplog.text.count("OpenTelemetry fails") == 1


def test_times_fall_into_our_buckets(reader: InMemoryMetricReader, provider: MeterProvider) -> None:
    observer = OtelObserver("orders", provider)
    for kind, seconds in {"handed-over": 0.02, "connected": 0.2, "returned": 40.0, "timed-out": 10.0}.items():
        observer.notice(PoolEvent(PoolEventKind(kind), 0.0, seconds))
    found = collected(reader)

    assert set(found) == {f"db.client.connection.{name}_time" for name in ("wait", "create", "use")}
    wait = point(found["db.client.connection.wait_time"], **{NAME: "orders"})
    assert found["db.client.connection.wait_time"].unit == "s"
    assert (wait.explicit_bounds, wait.count, wait.sum) == (BOUNDS, 1, 0.02)
    assert wait.bucket_counts[BOUNDS.index(0.05)] == 1
    assert point(found["db.client.connection.use_time"]).bucket_counts[-1] == 1


async def use(url: str, observer: OtelObserver) -> None:
    engine = create_async_engine(url, poolclass=KeeperPool, observer=observer, pool_size=1)
    for _ in range(3):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(0.01)"))
    await engine.dispose()


def test_a_real_pool_is_timed(
    reader: InMemoryMetricReader, provider: MeterProvider, fresh_database: FreshDatabase
) -> None:

    asyncio.run(use(fresh_database.url(), OtelObserver("orders", provider)))
    found = collected(reader)

    counts = {name: point(found[f"db.client.connection.{name}_time"]).count for name in ("create", "wait", "use")}
    assert counts == {"create": 1, "wait": 3, "use": 3}
    assert point(found["db.client.connection.use_time"]).sum >= 0.03


def test_without_an_sdk_there_is_no_observer() -> None:
    assert not is_measured()
    assert observer_for("orders") is None
    assert observer_for("orders", NoOpMeterProvider()) is None


def test_without_an_sdk_no_pool_is_read() -> None:
    def source() -> PoolSnapshot:
        raise AssertionError("a pool was read")

    register([source]).close()


def test_with_an_sdk_there_is_an_observer(provider: MeterProvider) -> None:
    assert is_measured(provider)
    assert isinstance(observer_for("orders", provider), OtelObserver)
