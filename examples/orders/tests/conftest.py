"""The service as its callers meet it: a real PostgreSQL, a real uvicorn with two workers, real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from poolkeeper.drill import Service
from poolkeeper.testing import EmbeddedPostgres


class Shop:
    """The running service and, for setting the scene and for looking behind it, its database."""

    def __init__(self, service: Service, postgres: EmbeddedPostgres) -> None:
        self.service = service
        self.postgres = postgres
        self.http = httpx.Client(base_url=service.address, timeout=30)

    def number(self, sql: str) -> int:
        return int(self.postgres.query(sql)[0][0] or 0)

    def new_customer(self, balance: int = 1_000_000) -> int:
        row = f"('Ada', 'ada@example.org', {balance})"
        return self.number(f"INSERT INTO customers (name, email, balance) VALUES {row} RETURNING id")

    def new_product(self, stock: int, price: int = 100) -> int:
        return self.number(f"INSERT INTO products (name, price, stock) VALUES ('Pin', {price}, {stock}) RETURNING id")

    def stock(self, product: int) -> int:
        return self.number(f"SELECT stock FROM products WHERE id = {product}")

    def balance(self, customer: int) -> int:
        return self.number(f"SELECT balance FROM customers WHERE id = {customer}")

    def order(self, customer: int, quantities: dict[int, int]) -> httpx.Response:
        return self.http.post("/orders", json=order_of(customer, quantities))


def order_of(customer: int, quantities: dict[int, int]) -> dict[str, object]:
    lines = [{"product_id": product, "quantity": quantity} for product, quantity in quantities.items()]
    return {"customer_id": customer, "lines": lines}


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture(scope="session", params=["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
def shop(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("orders")
    with Service(postgres.url(request.param), folder, workers=2) as service:
        shop = Shop(service, postgres)
        with shop.http:
            yield shop
