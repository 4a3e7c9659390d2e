"""Several workers export as one: a real uvicorn, and workers that are killed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.export.moments import value, values
from tests.servers import FreshDatabase

from poolkeeper.drill import Service

HERE = Path(__file__).parent
CAPACITY = 5
LIVE = "gauge_live*.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # Nobody has made it: the service does.
    return tmp_path / "run" / "metrics"


@pytest.fixture
def service(tmp_path: Path, folder: Path, fresh_database: FreshDatabase) -> Iterator[Service]:
    fresh_database.may_leave_backends = True
    folder.mkdir(parents=True)
    environment = {
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "DATABASE_POOL_SIZE": str(CAPACITY),
        "DATABASE_MAX_OVERFLOW": "0",
        "DATABASE_MIN_IDLE": "0",
    }
    url = fresh_database.url()
    with Service(url, tmp_path, app="metrics_app:app", app_dir=HERE, workers=2, environment=environment) as service:
        yield service


def get(service: Service, path: str) -> httpx.Response:
    # A connection of its own, so that any worker may take it.
    answer = httpx.get(service.address + path)
    assert answer.status_code == 200, answer.text
    return answer


def scrape(service: Service) -> list[Metric]:
    return list(text_string_to_metric_families(get(service, "/metrics").text))


def work_in_both(service: Service) -> Counter[int]:
    """Make requests until each worker has had some; how many each had."""
    done: Counter[int] = Counter()
    while len(done) < 2 or min(done.values()) < 3:
        done[get(service, "/work").json()] += 1
        assert done.total() < 2000
    return done


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def used(service: Service) -> float:
    return value(scrape(service), "db_client_connection_count", db_client_connection_state="used")


@pytest.mark.slow
def test_two_workers_are_one_service_and_a_killed_one_leaves_its_counts_only(service: Service, folder: Path) -> None:
    done = work_in_both(service)

    until(lambda: value(scrape(service), "poolkeeper_checkouts_total") == done.total())
    now = scrape(service)
    assert value(now, "poolkeeper_checkins_total") == done.total()
    assert value(now, "db_client_connection_use_time_seconds_count") == done.total()
    assert value(now, "db_client_connection_use_time_seconds_bucket", le="+Inf") == done.total()
    assert value(now, "db_client_connection_use_time_seconds_sum") > 0
    assert value(now, "db_client_connection_max") == 2 * CAPACITY
    assert value(now, "poolkeeper_pool_timeout_seconds") < 60
    assert value(now, "poolkeeper_workers") == 2
    assert value(now, "poolkeeper_closed_total", reason="leaked") == 0
    assert value(now, "poolkeeper_event_loop_lag_seconds_count") > 0
    assert values(now, "db_client_connection_max", pid=str(next(iter(done)))) == []

    victim = get(service, "/hold").json()
    until(lambda: used(service) == 1)
    until(lambda: value(scrape(service), "poolkeeper_oldest_holder_seconds") > 0)
    os.kill(victim, signal.SIGKILL)

    # uvicorn starts another one in its place.
    until(lambda: used(service) == 0 and value(scrape(service), "poolkeeper_workers") == 2)
    now = scrape(service)
    assert value(now, "poolkeeper_checkouts_total") == done.total() + 1
    assert value(now, "poolkeeper_checkins_total") == done.total()
    assert value(now, "db_client_connection_max") == 2 * CAPACITY
    assert not list(folder.glob(f"gauge_live*_{victim}.db"))
    assert list(folder.glob(f"counter_{victim}.db"))

    more = work_in_both(service)
    until(lambda: value(scrape(service), "poolkeeper_checkouts_total") == done.total() + 1 + more.total())


@pytest.mark.slow
def test_a_service_that_stops_leaves_counts_only(service: Service, folder: Path) -> None:
    done = work_in_both(service)
    until(lambda: value(scrape(service), "poolkeeper_checkouts_total") == done.total())
    service.stop()

    left = {path.name for path in folder.glob("*.db")}
    assert {f"counter_{pid}.db" for pid in done} <= left
    service.start()
    now = scrape(service)
    assert value(now, "poolkeeper_workers") <= 2
    assert value(now, "db_client_connection_max") <= 2 * CAPACITY
    assert value(now, "poolkeeper_checkouts_total") == done.total()
    assert not [path for pid in done for path in folder.glob(f"gauge_live*_{pid}.db")]
