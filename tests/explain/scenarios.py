"""One scenario per cause, each on real servers: the service is in trouble while the block of a scenario lasts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import anyio
import httpx
import psycopg
from sqlalchemy import make_url
from tests.explain.stage import Ask, Stage, callers, get, post

from poolkeeper.drill import Service
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

Play = Callable[[Stage], Generator[Service]]


@dataclass(frozen=True)
class Scenario:
    """`cause` has to come first of the findings; None where there is nothing to find.

    Where holders are the cause, `route` and `place` ("file in function") are those of the code that holds. `after` is
    how many seconds of trouble there are before somebody looks.
    """

    name: str
    play: Play
    cause: str | None
    route: str | None
    place: str | None
    after: float


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    cause: str | None, *, route: str | None = None, place: str | None = None, after: float = 3.5
) -> Callable[[Play], Play]:
    def add(play: Play) -> Play:
        name = play.__name__.replace("_", "-")
        SCENARIOS[name] = Scenario(name, play, cause, route, place, after)
        return play

    return add


@scenario("leak", route="GET /customers/{customer_id}", place="faults/leak.py in get_customer_and_leak", after=0.8)
def leak(stage: Stage) -> Generator[Service]:
    yield from _faulty(stage, "leak", get("/customers/{n}"))


@scenario(
    "nested-checkout", route="GET /audit", place="faults/nested_checkout.py in audit_with_two_connections", after=1.2
)
def nested_checkout(stage: Stage) -> Generator[Service]:
    """The server is some way off: before one has its first answer and wants more, all connections are taken."""
    with (
        stage.database() as database,
        _proxy(stage.postgres) as proxy,
        stage.service(proxy.url(database.url()), "nested-checkout", min_idle=3) as service,
    ):
        proxy.latency = 0.02
        with callers(service, 8, get("/audit")):
            yield service


@scenario("event-loop-blocked", place="faults/blocking_call.py in print_label", after=2.5)
def blocking_call(stage: Stage) -> Generator[Service]:
    yield from _faulty(stage, "blocking-call", get("/products/{n}"), number=4)


@scenario("slow-query", route="GET /products", place="faults/slow_query.py in list_products_slowly", after=4.5)
def slow_query(stage: Stage) -> Generator[Service]:
    yield from _faulty(stage, "slow-query", get("/products"))


@scenario("held-while-streaming", route="GET /orders/export", place="faults/open_stream.py in all_orders", after=6)
def open_stream(stage: Stage) -> Generator[Service]:
    async def read_a_little(client: httpx.AsyncClient, _which: int) -> None:
        async with client.stream("GET", "/orders/export") as response:
            async for _ in response.aiter_raw(1000):
                await anyio.sleep(3600)

    with stage.database() as database, stage.service(database.url(), "open-stream") as service:
        database.execute(
            "INSERT INTO orders (customer_id, status, total, placed_at) "
            "SELECT 1, 'paid', 0, now() FROM generate_series(1, 100000)"
        )
        with callers(service, 6, read_a_little):
            yield service


@scenario("held-across-external-io", route="POST /orders", place="shop.py in rows_changed")
def external_call(stage: Stage) -> Generator[Service]:
    with slow_provider() as address, stage.database() as database:
        environment = {"ORDERS_PAYMENT_URL": address}
        with stage.service(database.url(), "external-call", environment) as service, callers(service, 8, ORDER):
            yield service


@scenario("row-lock-wait", route="POST /products/{product_id}/restock", place="shop.py in rows_changed")
def row_lock(stage: Stage) -> Generator[Service]:
    with stage.database() as database, stage.service(database.url()) as service, other(database.url("psycopg")) as held:
        held.execute("UPDATE products SET stock = stock + 1 WHERE id = 1")
        with callers(service, 8, post("/products/1/restock", lambda _: {"quantity": 1})):
            yield service


@scenario("undersized-pool", after=4)
def undersized_pool(stage: Stage) -> Generator[Service]:
    """A network with a delay makes holds a little longer, as between two zones."""
    with (
        stage.database() as database,
        _proxy(stage.postgres) as proxy,
        stage.service(proxy.url(database.url()), pool_size=2) as service,
    ):
        proxy.latency = 0.005
        with callers(service, 40, get("/products")):
            yield service


@scenario("server-full")
def server_full(stage: Stage) -> Generator[Service]:
    with EmbeddedPostgres(max_connections=20) as server, ExitStack() as stack:
        server.execute("CREATE ROLE app LOGIN; CREATE ROLE reports LOGIN")
        server.execute("CREATE DATABASE shop OWNER app")
        url = _as(server.url(database="shop"), "app")
        with stage.service(url) as service:
            for _ in range(20):
                try:
                    stack.enter_context(other(_as(server.url("psycopg", database="shop"), "reports"), "reports"))
                except psycopg.OperationalError:
                    break
            with callers(service, 30, ORDER):
                yield service


@scenario("role-limit")
def role_limit(stage: Stage) -> Generator[Service]:
    role = f"app_{time.monotonic_ns()}"
    stage.postgres.execute(f"CREATE ROLE {role} LOGIN")
    try:
        with stage.database(f"OWNER {role}") as database, stage.service(_as(database.url(), role)) as service:
            stage.postgres.execute(f"ALTER ROLE {role} CONNECTION LIMIT 1")
            with callers(service, 30, ORDER):
                yield service
    finally:
        stage.postgres.execute(f"DROP ROLE {role}")


@scenario("pooler-queue", route="GET /products", place="routers/products.py in list_products", after=6)
def pooler_queue(stage: Stage) -> Generator[Service]:
    """The pooler has one connection to the server, and somebody else is in a transaction on it."""
    with (
        stage.database() as database,
        stage.pooler(pool_mode="transaction", default_pool_size=1) as pooler,
        stage.service(pooler.url(database=database.name), provider="pgbouncer-transaction") as service,
        other(pooler.url("psycopg", database.name), "reports") as held,
    ):
        held.execute("SELECT 1")
        with callers(service, 8, get("/products")):
            yield service


@scenario("connect-dns", after=2)
def dns_failure(stage: Stage) -> Generator[Service]:
    url = make_url(stage.postgres.url("asyncpg")).set(host="db.invalid").render_as_string(hide_password=False)
    environment = {"ORDERS_CREATE_TABLES": "no"}
    with stage.service(url, environment=environment) as service, callers(service, 8, get("/products")):
        yield service


@scenario("black-hole", route="GET /products", place="routers/products.py in list_products", after=9)
def black_hole(stage: Stage) -> Generator[Service]:
    """What was connected is cut off without a word; new connections pass."""
    yield from _cut_off(stage, "existing")


@scenario("black-hole", route="GET /products", place="routers/products.py in list_products", after=9)
def black_hole_for_all(stage: Stage) -> Generator[Service]:
    """Nothing passes any more."""
    yield from _cut_off(stage, "all")


@scenario(None, after=4)
def healthy(stage: Stage) -> Generator[Service]:
    with (
        stage.database() as database,
        stage.service(database.url(), pool_size=10) as service,
        callers(service, 4, get("/products")),
        callers(service, 2, ORDER),
        callers(service, 1, get("/audit")),
    ):
        yield service


def _faulty(stage: Stage, fault: str, ask: Ask, number: int = 8) -> Iterator[Service]:
    with stage.database() as database, stage.service(database.url(), fault) as service, callers(service, number, ask):
        yield service


def _cut_off(stage: Stage, reach: Literal["existing", "all"]) -> Iterator[Service]:
    with (
        stage.database() as database,
        _proxy(stage.postgres) as proxy,
        stage.service(proxy.url(database.url())) as service,
        callers(service, 8, get("/products")),
    ):
        time.sleep(0.5)
        proxy.drop(reach)
        yield service


def _order(which: int) -> object:
    """Callers of their own products and money: nobody waits for another's rows."""
    return {"customer_id": which, "lines": [{"product_id": which, "quantity": 1}]}


ORDER = post("/orders", _order)


@contextmanager
def _proxy(server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy(server.host, server.port) as proxy:
        yield proxy


@contextmanager
def other(url: str, name: str = "backoffice") -> Iterator[psycopg.Connection]:
    """A transaction of another application, rolled back at the end."""
    target = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(target, application_name=name)) as connection:
        yield connection


def _as(url: str, role: str) -> str:
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@contextmanager
def slow_provider() -> Iterator[str]:
    """A provider that takes calls and leaves them without an answer."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listener:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/charges"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()
