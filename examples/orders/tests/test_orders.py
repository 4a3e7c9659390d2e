"""What the routes promise, one caller at a time."""

from __future__ import annotations

import json
import re
import time

import pytest

from .conftest import Shop


def test_several_workers_starting_at_once_fill_the_database_once(shop: Shop) -> None:
    assert shop.service.workers > 1
    assert shop.number("SELECT count(*) FROM customers WHERE name LIKE 'Customer %'") == 100
    assert shop.number("SELECT count(*) FROM products WHERE name LIKE 'Product %'") == 50


def test_products_are_listed_in_pages(shop: Shop) -> None:
    first = shop.http.get("/products", params={"limit": 3}).json()
    second = shop.http.get("/products", params={"limit": 3, "after": first[-1]["id"]}).json()
    assert [product["id"] for product in first + second] == [1, 2, 3, 4, 5, 6]


def test_what_is_not_there_is_404(shop: Shop) -> None:
    paths = ["/products/999999", "/customers/999999", "/orders/999999999"]
    assert [shop.http.get(path).status_code for path in paths] == [404] * 3
    assert shop.http.post("/orders/999999999/cancel").status_code == 404
    assert shop.http.post("/products/999999/restock", json={"quantity": 1}).status_code == 404


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "x"])
def test_a_number_that_no_row_can_have_is_422(shop: Shop, number: str) -> None:
    assert shop.http.get(f"/products/{number}").status_code == 422


def test_an_order_takes_stock_and_money(shop: Shop) -> None:
    customer, pins, pens = shop.new_customer(10_000), shop.new_product(10, 100), shop.new_product(10, 250)
    response = shop.order(customer, {pens: 2, pins: 3})
    assert response.status_code == 201
    order = response.json()
    assert (order["status"], order["total"]) == ("paid", 800)
    assert [(line["product_id"], line["quantity"]) for line in order["lines"]] == [(pins, 3), (pens, 2)]
    assert (shop.stock(pins), shop.stock(pens), shop.balance(customer)) == (7, 8, 9_200)
    seen = shop.http.get(f"/customers/{customer}").json()
    assert seen["balance"] == 9_200
    assert [recent["id"] for recent in seen["recent_orders"]] == [order["id"]]


def test_lines_of_the_same_product_are_one(shop: Shop) -> None:
    customer, product = shop.new_customer(), shop.new_product(10)
    line = {"product_id": product, "quantity": 2}
    response = shop.http.post("/orders", json={"customer_id": customer, "lines": [line, line]})
    assert [line["quantity"] for line in response.json()["lines"]] == [4]


def test_an_order_is_confirmed_after_its_response(shop: Shop) -> None:
    order = shop.order(shop.new_customer(), {shop.new_product(1): 1}).json()
    assert order["confirmed_at"] is None
    deadline = time.monotonic() + 10
    while shop.http.get(f"/orders/{order['id']}").json()["confirmed_at"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_out_of_stock_is_409_and_takes_nothing(shop: Shop) -> None:
    customer, plenty, few = shop.new_customer(10_000), shop.new_product(100), shop.new_product(2)
    response = shop.order(customer, {plenty: 5, few: 3})
    assert response.status_code == 409
    assert "out of stock" in response.json()["detail"]
    assert (shop.stock(plenty), shop.stock(few), shop.balance(customer)) == (100, 2, 10_000)


def test_too_little_money_is_409_and_takes_nothing(shop: Shop) -> None:
    customer, product = shop.new_customer(99), shop.new_product(5, 100)
    assert shop.order(customer, {product: 1}).status_code == 409
    assert (shop.stock(product), shop.balance(customer)) == (5, 99)


def test_an_order_for_nobody_is_404_and_takes_nothing(shop: Shop) -> None:
    product = shop.new_product(5)
    assert shop.order(999_999, {product: 1}).status_code == 404
    assert shop.stock(product) == 5


def test_a_cancelled_order_gives_everything_back_once(shop: Shop) -> None:
    customer, product = shop.new_customer(10_000), shop.new_product(10, 100)
    order = shop.order(customer, {product: 4}).json()
    cancelled = shop.http.post(f"/orders/{order['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert shop.http.post(f"/orders/{order['id']}/cancel").status_code == 409
    assert (shop.stock(product), shop.balance(customer)) == (10, 10_000)


def test_a_transfer_moves_money_or_nothing(shop: Shop) -> None:
    first, second = shop.new_customer(500), shop.new_customer(500)
    for payer, payee, amount, status in [
        (first, second, 300, 204),
        (second, first, 100, 204),
        (first, second, 301, 409),
    ]:
        wanted = {"from_customer_id": payer, "to_customer_id": payee, "amount": amount}
        assert shop.http.post("/transfers", json=wanted).status_code == status
    assert (shop.balance(first), shop.balance(second)) == (300, 700)


def test_a_transfer_needs_two_customers_who_exist(shop: Shop) -> None:
    customer = shop.new_customer()
    wanted = {"from_customer_id": customer, "to_customer_id": customer, "amount": 1}
    assert shop.http.post("/transfers", json=wanted).status_code == 422
    assert shop.http.post("/transfers", json=wanted | {"to_customer_id": 999_999}).status_code == 404
    assert shop.balance(customer) == 1_000_000


def test_restocking_adds(shop: Shop) -> None:
    product = shop.new_product(1)
    assert shop.http.post(f"/products/{product}/restock", json={"quantity": 9}).json()["stock"] == 10


def test_the_export_has_every_order_once_and_in_order(shop: Shop) -> None:
    customer, product = shop.new_customer(10**6), shop.new_product(1_000)
    placed = [shop.order(customer, {product: 1}).json()["id"] for _ in range(130)]
    response = shop.http.get("/orders/export", params={"after": placed[0] - 1})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in response.text.splitlines()] == placed
    limited = shop.http.get("/orders/export", params={"after": placed[0], "limit": 120})
    assert [json.loads(line)["id"] for line in limited.text.splitlines()] == placed[1:121]


def test_every_link_of_the_front_page_works(shop: Shop) -> None:
    page = shop.http.get("/").text
    links = re.findall(r'<a href="([^"]+)"', page)
    assert len(links) >= 5
    assert [shop.http.get(link).status_code for link in links] == [200] * len(links)


def test_the_front_page_needs_nothing_from_elsewhere(shop: Shop) -> None:
    assert "//" not in shop.http.get("/").text
