"""What probes are told, and what telling it costs."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase
from tests.service.served import serve, wait_until

from poolkeeper import ConnectFailure, Database
from poolkeeper.fastapi import HealthPaths, Keeper
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

MakeDatabase = Callable[..., Database]


def app_with(database: Database, paths: HealthPaths | None = None) -> FastAPI:
    """With an endpoint that holds a connection until another one is called."""
    app, keeper, released = FastAPI(), Keeper(database, health=paths), asyncio.Event()
    keeper.install(app)

    @app.get("/hold")
    async def hold(session: Annotated[AsyncSession, keeper.write]) -> None:
        await session.execute(text("SELECT 1"))
        await released.wait()

    @app.get("/release")
    async def release() -> None:
        released.set()

    return app


def held(url: str) -> threading.Thread:
    thread = threading.Thread(target=httpx.get, args=(f"{url}/hold",), kwargs={"timeout": 30})
    thread.start()
    return thread


def test_a_healthy_database_answers_with_latency_and_pool_numbers(make_database: MakeDatabase) -> None:
    with serve(app_with(make_database())) as served:
        response = httpx.get(f"{served.url}/health/db")
    body = response.json()
    assert response.status_code == 200
    assert body["status"] == "ok"
    assert body["latency_ms"] > 0
    assert body["pool"]["capacity"] == 20


def test_liveness_and_readiness_never_touch_a_healthy_database(
    make_database: MakeDatabase, tables: FreshDatabase
) -> None:
    with serve(app_with(make_database())) as served:
        answers = [httpx.get(f"{served.url}/health/{probe}").status_code for probe in ("live", "ready") * 10]
        assert tables.activity() == []
    assert answers == [200] * 20


def test_readiness_turns_while_the_pool_is_saturated_and_back(make_database: MakeDatabase) -> None:
    database = make_database(pool_size=1)
    with serve(app_with(database)) as served:
        threads = [held(served.url)]
        wait_until(lambda: database.snapshot().in_use == 1)
        threads.append(held(served.url))
        wait_until(lambda: database.snapshot().saturated)
        ready = httpx.get(f"{served.url}/health/ready")
        alive = httpx.get(f"{served.url}/health/live")
        httpx.get(f"{served.url}/release")
        for thread in threads:
            thread.join()
        again = httpx.get(f"{served.url}/health/ready")
    assert (ready.status_code, ready.json()["reason"]) == (503, "pool-saturated")
    assert alive.status_code == 200
    assert again.status_code == 200


def test_the_database_probe_does_not_queue_behind_an_exhausted_pool(make_database: MakeDatabase) -> None:
    database = make_database(pool_size=1)
    with serve(app_with(database)) as served:
        thread = held(served.url)
        wait_until(lambda: database.snapshot().in_use == 1)
        response = httpx.get(f"{served.url}/health/db")
        answered_while_held = thread.is_alive()
        httpx.get(f"{served.url}/release")
        thread.join()
    assert response.status_code == 200, response.text
    assert response.json()["pool"]["in_use"] == 1
    assert answered_while_held


def test_an_unreachable_database_is_named_by_kind_only(tables: FreshDatabase, driver: str) -> None:
    url = tables.url(driver)
    with FaultProxy(tables.server.host, tables.server.port) as proxy:
        database = Database(proxy.url(url), min_idle=0, connect_grace=0.2)
        with serve(app_with(database)) as served:
            assert httpx.get(f"{served.url}/health/db").status_code == 200
            proxy.refuse()
            proxy.reset()
            broken = httpx.get(f"{served.url}/health/db")
            unready = httpx.get(f"{served.url}/health/ready")
            alive = httpx.get(f"{served.url}/health/live")
            proxy.heal()
            wait_until(lambda: httpx.get(f"{served.url}/health/ready").status_code == 200)
            mended = httpx.get(f"{served.url}/health/db")
    assert (broken.status_code, broken.json()["reason"]) == (503, "connect-refused")
    assert "127.0.0.1" not in broken.text
    assert (unready.status_code, unready.json()["reason"]) == (503, "connect-refused")
    assert alive.status_code == 200
    assert mended.status_code == 200


def test_a_silent_database_costs_a_probe_no_more_than_the_health_timeout(tables: FreshDatabase, driver: str) -> None:
    with FaultProxy(tables.server.host, tables.server.port) as proxy:
        database = Database(proxy.url(tables.url(driver)), min_idle=0, health_timeout=0.3)
        with serve(app_with(database)) as served:
            assert httpx.get(f"{served.url}/health/db").status_code == 200
            proxy.drop()
            response = httpx.get(f"{served.url}/health/db", timeout=20)
            proxy.heal()
    assert (response.status_code, response.json()["reason"]) == (503, "timeout")


def test_paths_can_be_moved_and_turned_off_and_stay_out_of_the_schema(make_database: MakeDatabase) -> None:
    app = app_with(make_database(), HealthPaths(live="/livez", ready=None))
    with serve(app) as served:
        statuses = [httpx.get(served.url + path).status_code for path in ("/livez", "/health/ready", "/health/db")]
        schema = httpx.get(f"{served.url}/openapi.json").json()
    assert statuses == [200, 404, 200]
    assert set(schema["paths"]) == {"/hold", "/release"}


def test_a_catch_all_route_of_the_app_does_not_swallow_the_probes(make_database: MakeDatabase) -> None:
    app = FastAPI()

    @app.get("/{path:path}")
    async def everything(path: str) -> str:
        return path

    Keeper(make_database()).install(app)
    with serve(app) as served:
        assert httpx.get(f"{served.url}/health/live").json() == {"status": "alive"}


@pytest.mark.slow
def test_a_server_without_room_for_more_leaves_a_service_ready_that_has_connections(driver: str) -> None:
    with EmbeddedPostgres(auth="scram-sha-256") as server:
        server.execute("CREATE ROLE app LOGIN PASSWORD 'right' CONNECTION LIMIT 3")
        url = make_url(server.url(driver)).set(username="app", password="right").render_as_string(hide_password=False)
        database = Database(url, pool_size=5, warm_up_timeout=0.5)
        with serve(app_with(database)) as served:
            # The third connection may have come after a fourth was refused; another one is tried soon.
            deadline = time.monotonic() + 10
            while (failure := database.connectivity.failure) is None and time.monotonic() < deadline:
                time.sleep(0.01)
            ready = httpx.get(f"{served.url}/health/ready")
            health = httpx.get(f"{served.url}/health/db")
    assert failure is not None
    assert failure.reason is ConnectFailure.TOO_MANY_CONNECTIONS
    assert (ready.status_code, health.status_code) == (200, 200)
    assert health.json()["pool"]["idle"] == 3
