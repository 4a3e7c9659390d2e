"""The route that Prometheus scrapes, of an app on a real PostgreSQL."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import REGISTRY, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.routing import Mount
from tests.export.moments import value, values
from tests.servers import FreshDatabase, find_program

from poolkeeper import Database
from poolkeeper.fastapi import Keeper
from poolkeeper.fastapi.metrics import is_installed

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def database(fresh_database: FreshDatabase) -> Database:
    return Database(fresh_database.url(), name="orders", pool_size=4, max_overflow=2, min_idle=1)


def app_with_metrics(database: Database, path: str | None = "/metrics") -> FastAPI:
    app, keeper = FastAPI(), Keeper(database, metrics=path)

    @app.get("/orders/{number}")
    async def order(number: int, session: Annotated[AsyncSession, keeper.read]) -> int:
        return int((await session.execute(text("SELECT :number"), {"number": str(number)})).scalar_one())

    keeper.install(app)
    return app


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        yield client


def answers(app: FastAPI, *paths: str, **headers: str) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        async with client_of(app) as client:
            return [await client.get(path, headers=headers) for path in paths]

    return asyncio.run(ask())


def test_a_scrape_tells_of_the_pool(database: Database) -> None:
    *_, scrape = answers(app_with_metrics(database), "/orders/7", "/orders/8", "/metrics")

    assert scrape.status_code == 200
    found = list(parse_text(scrape.text))
    pool = {"db_client_connection_pool_name": "orders"}
    assert value(found, "poolkeeper_checkouts_total", **pool) == 2
    assert value(found, "poolkeeper_checkins_total", **pool) == 2
    assert value(found, "db_client_connection_max", **pool) == 6
    assert value(found, "db_client_connection_count", db_client_connection_state="used", **pool) == 0
    assert value(found, "db_client_connection_use_time_seconds_count", **pool) == 2


def test_promtool_finds_no_fault_but_a_name_of_the_conventions(database: Database) -> None:
    promtool = find_program("promtool", "prometheus")
    _, scrape = answers(app_with_metrics(database), "/orders/7", "/metrics")

    done = subprocess.run([promtool, "check", "metrics"], input=scrape.content, capture_output=True, check=False)
    # Prometheus would keep this ending for histograms; OpenTelemetry's name of the gauge has it.
    fault = 'db_client_connection_count non-histogram and non-summary metrics should not have "_count" suffix'
    assert (done.stdout + done.stderr).decode().splitlines() == [fault]


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("*/*", "text/plain; version=0.0.4", parse_text),
        (f"{OPENMETRICS};q=0.8,text/plain;version=0.0.4;q=0.5", OPENMETRICS, parse_openmetrics),
    ],
)
def test_the_format_is_what_the_scraper_takes(database: Database, accept: str, content_type: str, parse: Any) -> None:
    (scrape,) = answers(app_with_metrics(database), "/metrics", accept=accept)

    assert scrape.headers["content-type"].startswith(content_type)
    assert {"db_client_connection_max", "poolkeeper_closed"} <= {
        family.name.removesuffix("_total") for family in parse(scrape.text)
    }


def test_an_answer_is_packed_for_who_can_unpack(database: Database) -> None:
    app = app_with_metrics(database)
    (packed,) = answers(app, "/metrics", **{"accept-encoding": "br, gzip"})
    (plain,) = answers(app, "/metrics", **{"accept-encoding": ""})

    assert (packed.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    assert int(packed.headers["content-length"]) < len(packed.content) / 4
    assert packed.text[:6] == plain.text[:6] == "# HELP"


def test_one_metric_can_be_asked_for(database: Database) -> None:
    (scrape,) = answers(
        app_with_metrics(database), "/metrics?name[]=db_client_connection_max&name[]=poolkeeper_workers"
    )

    assert {family.name for family in parse_text(scrape.text)} == {"db_client_connection_max", "poolkeeper_workers"}


def test_what_the_app_counts_is_there_too_and_pools_leave_with_it(database: Database) -> None:
    sold = Counter("test_orders_sold", "Orders sold.")
    try:
        sold.inc(3)
        (scrape,) = answers(app_with_metrics(database), "/metrics")
        assert value(parse_text(scrape.text), "test_orders_sold_total") == 3
        assert values(REGISTRY, "db_client_connection_max") == []
    finally:
        REGISTRY.unregister(sold)


def test_no_address_user_or_sql_is_told(database: Database, fresh_database: FreshDatabase) -> None:
    _, scrape = answers(app_with_metrics(database), "/orders/7", "/metrics")

    for secret in (fresh_database.name, "postgres", "127.0.0.1", "SELECT", "/orders"):
        assert secret not in scrape.text


def test_the_route_is_not_in_the_schema_and_a_path_of_none_leaves_it_out(database: Database) -> None:
    schema, elsewhere = answers(app_with_metrics(database, "/internal/metrics"), "/openapi.json", "/internal/metrics")
    assert "metrics" not in schema.text
    assert elsewhere.status_code == 200

    (none,) = answers(app_with_metrics(database, None), "/metrics")
    assert none.status_code == 404


def test_without_a_route_the_pool_is_in_the_registry(database: Database) -> None:
    app = app_with_metrics(database, None)
    during: list[float] = []

    @app.get("/own")
    async def own() -> None:
        during.extend(values(REGISTRY, "db_client_connection_max", db_client_connection_pool_name="orders"))

    answers(app, "/own")
    assert during == [6]
    assert values(REGISTRY, "db_client_connection_max") == []


def guarded() -> PlainTextResponse:
    return PlainTextResponse("no entry", 401)


def add_route(app: FastAPI) -> None:
    app.add_api_route("/metrics", guarded)


def add_router(app: FastAPI) -> None:
    router = APIRouter()
    router.add_api_route("/metrics", guarded)
    app.include_router(router)


def add_mount(app: FastAPI) -> None:
    app.mount("/metrics", Mount("", guarded_app))


async def guarded_app(scope: Any, receive: Any, send: Any) -> None:
    await guarded()(scope, receive, send)


@pytest.mark.parametrize("add", [add_route, add_router, add_mount])
def test_a_route_of_the_apps_own_is_not_bypassed(database: Database, add: Any) -> None:
    app = app_with_metrics(database)
    add(app)

    answer, below = answers(app, "/metrics", "/metrics/")
    assert 401 in {answer.status_code, below.status_code}
    assert 200 not in {answer.status_code, below.status_code}


def test_what_takes_every_path_does_not_hide_it(database: Database) -> None:
    app = app_with_metrics(database)
    app.add_api_route("/{path:path}", guarded)
    app.add_api_route("/{name}", guarded)
    app.mount("/", guarded_app)

    assert answers(app, "/metrics")[0].status_code == 200


def test_without_prometheus_client_there_is_no_route(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not is_installed()

    assert answers(app_with_metrics(database), "/metrics", "/orders/7")[0].status_code == 404
