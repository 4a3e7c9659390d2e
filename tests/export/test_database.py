"""A `Database` in OpenTelemetry's metrics, by itself; in a process of its own, as the SDK is set up once in each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import FreshDatabase

SCRIPT = """
import asyncio, json, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import text
from poolkeeper import Database, PoolSnapshot
from poolkeeper.observe.otel import register

url, with_sdk = sys.argv[1], sys.argv[2] == "sdk"
reader = InMemoryMetricReader()

def collected():
    data = reader.get_metrics_data() if with_sdk else None
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
    found = {}
    for metric in (metric for scope in scopes for metric in scope.metrics):
        for point in metric.data.data_points:
            name = point.attributes.get("db.client.connection.pool.name", "")
            value = getattr(point, "count", None)
            found[f"{metric.name} {name}"] = point.value if value is None else value
    return found

async def use(database):
    async with database.session() as session:
        await session.execute(text("SELECT 1"))

def use_in_thread(database):
    with database.sync_session() as session:
        session.execute(text("SELECT 1"))

async def main():
    one = Database(url, name="one", min_idle=0, pool_size=5)
    if "psycopg" not in url:
        # Made before anybody measures, as a module may do.
        _ = one.engine
    if with_sdk:
        # What an application does on its own, before.
        register([lambda: PoolSnapshot(name="zero", capacity=1, in_use=0, idle=0, waiting=0)])
        metrics.set_meter_provider(MeterProvider([reader]))
    two = Database(url, name="two", min_idle=0, pool_size=5)
    async with one:
        async with two:
            if "psycopg" in url:
                for _ in range(3):
                    await asyncio.to_thread(use_in_thread, one)
            else:
                for _ in range(3):
                    await use(one)
            both = collected()
        alone = collected()
    print(json.dumps([both, alone, collected()]))

asyncio.run(main())
"""


def told(folder: Path, url: str, sdk: str) -> tuple[dict[str, float], ...]:
    (folder / "service.py").write_text(SCRIPT)
    command = [sys.executable, "-W", "error", str(folder / "service.py"), url, sdk]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # The SDK warns on stderr of an instrument that is made twice.
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(json.loads(done.stdout))


@pytest.mark.parametrize("driver", ["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
def test_databases_are_exported_from_start_to_close(fresh_database: FreshDatabase, tmp_path: Path, driver: str) -> None:
    both, alone, none = told(tmp_path, fresh_database.url(driver), "sdk")
    standard = "db.client.connection"
    assert {both[f"{standard}.{name} one"] for name in ("wait_time", "use_time")} == {3}
    assert both[f"{standard}.create_time one"] == 1
    assert [both[f"{standard}.max {name}"] for name in ("zero", "one", "two")] == [1, 5, 5]
    assert f"{standard}.max two" not in alone
    assert alone[f"{standard}.max one"] == 5
    # What was recorded stays; nothing is read any more.
    assert f"{standard}.max one" not in none


@pytest.mark.slow
def test_without_an_sdk_nothing_is_told(fresh_database: FreshDatabase, tmp_path: Path) -> None:
    assert told(tmp_path, fresh_database.url("asyncpg"), "none") == ({}, {}, {})
