"""Database trouble becomes a 503 of its own kind, unless the app has an answer of its own."""

import threading
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase
from tests.service.served import serve, wait_until

from poolkeeper import ConnectFailed, Database
from poolkeeper.fastapi import Keeper
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

MakeDatabase = Callable[..., Database]
# Neither the start nor the requests wait for a database that is not there.
AWAY: dict[str, Any] = {"min_idle": 0, "connect_grace": 0}


def app_with(database: Database) -> FastAPI:
    app, keeper = FastAPI(), Keeper(database)
    keeper.install(app)

    @app.get("/sleep/{seconds}")
    async def sleep(seconds: float, session: Annotated[AsyncSession, keeper.write]) -> int:
        await session.execute(text("SELECT pg_sleep(:s)"), {"s": seconds})
        return 1

    @app.get("/broken-sql")
    async def broken_sql(session: Annotated[AsyncSession, keeper.write]) -> None:
        await session.execute(text("SELECT nonsense"))

    return app


def wake(tables: FreshDatabase) -> None:
    """Let the requests that sleep fail."""
    tables.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep($%'")


def problem(response: httpx.Response) -> str:
    assert response.status_code == 503, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == 503
    assert body["title"]
    return str(body["type"]).removeprefix("urn:poolkeeper:problem:")


def test_an_exhausted_pool_is_a_503_with_retry_after(make_database: MakeDatabase, tables: FreshDatabase) -> None:
    with serve(app_with(make_database(pool_size=1, pool_timeout=0.2, client_timeout=5))) as served:
        holder = threading.Thread(target=httpx.get, args=(f"{served.url}/sleep/20",), kwargs={"timeout": 30})
        holder.start()
        responses = [httpx.get(f"{served.url}/sleep/0") for _ in range(3)]
        wake(tables)
        holder.join()
    assert problem(responses[-1]) == "pool-timeout"
    assert int(responses[-1].headers["Retry-After"]) >= 1


def test_a_refused_connection_is_told_apart(driver: str, closed_port: int) -> None:
    with serve(app_with(Database(f"postgresql+{driver}://me@127.0.0.1:{closed_port}/x", **AWAY))) as served:
        response = httpx.get(f"{served.url}/sleep/0")
    assert problem(response) == "connect-refused"
    assert "Retry-After" in response.headers


def test_an_unknown_host_is_told_apart(driver: str) -> None:
    with serve(app_with(Database(f"postgresql+{driver}://me@no-such-host.invalid/x", **AWAY))) as served:
        assert problem(httpx.get(f"{served.url}/sleep/0", timeout=20)) == "connect-dns"


def test_a_server_that_never_answers_is_a_connect_timeout(tables: FreshDatabase, driver: str) -> None:
    with FaultProxy(tables.server.host, tables.server.port) as proxy:
        proxy.accept_and_hang()
        with serve(app_with(Database(proxy.url(tables.url(driver)), connect_timeout=0.3, **AWAY))) as served:
            assert problem(httpx.get(f"{served.url}/sleep/0")) == "connect-timeout"


def test_tls_that_the_server_does_not_speak_is_told_apart(tables: FreshDatabase, driver: str) -> None:
    demand = {"asyncpg": "?ssl=require", "psycopg": "?sslmode=require"}[driver]
    with serve(app_with(Database(tables.url(driver) + demand, **AWAY))) as served:
        assert problem(httpx.get(f"{served.url}/sleep/0")) == "connect-tls"


def test_wrong_credentials_and_too_many_connections_are_told_apart(driver: str) -> None:
    with EmbeddedPostgres(auth="scram-sha-256", max_connections=10, settings={"max_wal_senders": "2"}) as server:
        server.execute("CREATE ROLE app LOGIN PASSWORD 'right' CONNECTION LIMIT 1")
        good = server.url(driver).replace(server.url(driver).split("//")[1].split("@")[0], "app:right")
        with serve(app_with(Database(good.replace(":right@", ":wrong@"), **AWAY))) as served:
            refused = httpx.get(f"{served.url}/sleep/0")
        first, second = Database(good, min_idle=0), Database(good, **AWAY)
        with serve(app_with(first)) as holding, serve(app_with(second)) as served:
            assert httpx.get(f"{holding.url}/sleep/0").status_code == 200
            crowded = httpx.get(f"{served.url}/sleep/0")
            full = httpx.get(f"{served.url}/health/ready")
    assert problem(refused) == "connect-authentication"
    assert "Retry-After" not in refused.headers
    assert "wrong" not in refused.text
    assert problem(crowded) == "connect-too-many-connections"
    assert full.json()["reason"] == "connect-too-many-connections"


def test_a_statement_timeout_is_told_apart(make_database: MakeDatabase) -> None:
    with serve(app_with(make_database(statement_timeout=0.2))) as served:
        assert problem(httpx.get(f"{served.url}/sleep/5")) == "statement-timeout"


def test_a_query_on_a_black_holed_connection_ends_by_the_command_timeout(tables: FreshDatabase, driver: str) -> None:
    with FaultProxy(tables.server.host, tables.server.port) as proxy:
        database = Database(proxy.url(tables.url(driver)), min_idle=0, statement_timeout=None, command_timeout=0.5)
        tables.may_leave_backends = True  # nobody tells the server that the other end is gone
        with serve(app_with(database)) as served:
            answers: list[httpx.Response] = []
            request = threading.Thread(target=lambda: answers.append(httpx.get(f"{served.url}/sleep/30", timeout=20)))
            request.start()
            wait_until(lambda: database.snapshot().in_use == 1)
            proxy.drop()
            request.join()
            proxy.heal()
            after = httpx.get(f"{served.url}/sleep/0")
    assert problem(answers[0]) == "command-timeout"
    assert after.status_code == 200


def test_an_ordinary_database_error_stays_a_500(make_database: MakeDatabase) -> None:
    with serve(app_with(make_database())) as served:
        assert httpx.get(f"{served.url}/broken-sql").status_code == 500


@pytest.mark.parametrize("handled", [ConnectFailed, exc.DBAPIError, exc.SQLAlchemyError])
@pytest.mark.parametrize("is_async", [False, True])
def test_the_apps_own_handler_wins_also_when_it_comes_later_or_names_a_base_class(
    driver: str, closed_port: int, handled: type[Exception], is_async: bool
) -> None:
    app = app_with(Database(f"postgresql+{driver}://me@127.0.0.1:{closed_port}/x", **AWAY))

    def teapot(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"mine": True}, status_code=418)

    async def async_teapot(request: Request, error: Exception) -> JSONResponse:
        return teapot(request, error)

    app.add_exception_handler(handled, async_teapot if is_async else teapot)
    with serve(app) as served:
        assert httpx.get(f"{served.url}/sleep/0").status_code == 418


def test_a_catch_all_handler_is_no_answer_to_a_missing_connection(driver: str, closed_port: int) -> None:
    app = app_with(Database(f"postgresql+{driver}://me@127.0.0.1:{closed_port}/x", **AWAY))
    app.add_exception_handler(Exception, lambda _request, _error: JSONResponse({}, status_code=500))
    with serve(app) as served:
        assert problem(httpx.get(f"{served.url}/sleep/0")) == "connect-refused"
