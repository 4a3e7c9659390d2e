"""What must hold when many callers come at once, on two workers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterable, Iterator

import httpx
import pytest

from poolkeeper.drill import Load, OrdersTraffic, steady

from .conftest import Shop, order_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def post_all(shop: Shop, requests: Iterable[tuple[str, object]]) -> Counter[int]:
    async with httpx.AsyncClient(base_url=shop.service.address, timeout=30) as client:
        responses = await asyncio.gather(*(client.post(path, json=body) for path, body in requests))
    return Counter(response.status_code for response in responses)


async def test_the_last_pieces_are_sold_once(shop: Shop) -> None:
    customer, product = shop.new_customer(10**9), shop.new_product(20)
    statuses = await post_all(shop, [("/orders", order_of(customer, {product: 1}))] * 80)
    assert statuses == {201: 20, 409: 60}
    assert shop.stock(product) == 0
    assert shop.balance(customer) == 10**9 - 20 * 100


async def test_the_last_money_is_spent_once(shop: Shop) -> None:
    customer, product = shop.new_customer(1_050), shop.new_product(1_000)
    statuses = await post_all(shop, [("/orders", order_of(customer, {product: 1}))] * 40)
    assert statuses == {201: 10, 409: 30}
    assert (shop.balance(customer), shop.stock(product)) == (50, 990)


async def test_many_cancels_of_one_order_give_back_once(shop: Shop) -> None:
    customer, product = shop.new_customer(10_000), shop.new_product(10)
    order = shop.order(customer, {product: 4}).json()
    statuses = await post_all(shop, [(f"/orders/{order['id']}/cancel", None)] * 20)
    assert statuses == {200: 1, 409: 19}
    assert (shop.balance(customer), shop.stock(product)) == (10_000, 10)


async def test_callers_who_cross_do_not_deadlock(shop: Shop) -> None:
    ada, bob = shop.new_customer(10**9), shop.new_customer(10**9)
    pins, pens = shop.new_product(10_000), shop.new_product(10_000)
    orders = [
        ("/orders", order_of(who, lines)) for who in (ada, bob) for lines in ({pins: 1, pens: 1}, {pens: 1, pins: 1})
    ]
    transfers = [
        ("/transfers", {"from_customer_id": payer, "to_customer_id": payee, "amount": 10})
        for payer, payee in ((ada, bob), (bob, ada))
    ]
    before = shop.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    statuses = await post_all(shop, (orders + transfers) * 25)
    assert statuses == {201: 100, 204: 50}
    assert shop.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == before
    assert shop.balance(ada) + shop.balance(bob) == 2 * 10**9 - 100 * 200


async def test_the_books_balance_under_the_whole_mix(shop: Shop) -> None:
    money = (
        "SELECT (SELECT sum(balance) FROM customers)"
        " + (SELECT coalesce(sum(total), 0) FROM orders WHERE status = 'paid')"
    )
    before = shop.number(money)
    result = await Load(shop.service.address, OrdersTraffic(), steady(120, 2)).run()
    assert (result.requests, result.errors) == (240, 0), result.by_error
    assert shop.number(money) == before
    assert shop.http.get("/audit").json()["money"] == before
    assert shop.number("SELECT min(stock) FROM products") >= 0
    mismatched = (
        "SELECT count(*) FROM orders WHERE total <>"
        " (SELECT sum(quantity * unit_price) FROM order_lines WHERE order_id = orders.id)"
    )
    assert shop.number(mismatched) == 0


MANY = 45_000
# More than the kernel buffers on the way to a reader who reads nothing, once its own buffer is this small.
SMALL_BUFFER = (socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)


@pytest.fixture
def long_export(shop: Shop) -> Iterator[tuple[int, int]]:
    """A customer with very many orders, and the id of the first of them."""
    customer = shop.new_customer()
    rows = f"SELECT {customer}, 'cancelled', 1, now() FROM generate_series(1, {MANY})"
    insert = f"INSERT INTO orders (customer_id, status, total, placed_at) {rows} RETURNING id"
    yield customer, shop.number(f"WITH added AS ({insert}) SELECT min(id) FROM added")
    shop.postgres.execute(f"DELETE FROM orders WHERE customer_id = {customer}")


@pytest.mark.slow
async def test_a_slow_reader_of_the_export_keeps_no_connection(shop: Shop, long_export: tuple[int, int]) -> None:
    customer, first = long_export
    slow = httpx.AsyncHTTPTransport(socket_options=[SMALL_BUFFER])
    async with (
        httpx.AsyncClient(base_url=shop.service.address, transport=slow, timeout=60) as client,
        client.stream("GET", "/orders/export", params={"after": first - 1}) as response,
    ):
        lines = response.aiter_lines()
        assert json.loads(await anext(lines))["id"] == first
        for _ in range(20):
            await until_all_connections_are_home(shop)
        last = shop.number(
            "INSERT INTO orders (customer_id, status, total, placed_at)"
            f" VALUES ({customer}, 'cancelled', 1, now()) RETURNING id"
        )
        rest = [json.loads(line)["id"] async for line in lines]
    assert rest[-1] == last, "the export was over before anybody looked: it has to be longer"
    assert len(rest) == MANY


async def until_all_connections_are_home(shop: Shop) -> None:
    ours = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
    busy = f"SELECT count(*) FROM pg_stat_activity WHERE {ours} AND (state <> 'idle' OR backend_xmin IS NOT NULL)"
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=shop.service.address) as client:
        while True:
            pools = [(await client.get("/health/db")).json()["pool"] for _ in range(4)]
            if shop.number(busy) == 0 and all(pool["in_use"] == 0 for pool in pools):
                return
            await asyncio.sleep(0.05)
