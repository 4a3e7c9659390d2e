"""What was lost, done twice, or does not add up is found in the database itself."""

from __future__ import annotations

from typing import cast

import pytest
from tests.servers import FreshDatabase

from poolkeeper.drill.books import audit, create_ledger
from poolkeeper.drill.figures import Books
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.service import Service
from poolkeeper.drill.stage import Stage
from poolkeeper.testing import FaultProxy

SHOP = """
CREATE TABLE customers (id bigint, balance bigint);
CREATE TABLE orders (customer_id bigint, total bigint, status text);
INSERT INTO customers SELECT n, 100000000 FROM generate_series(1, 3) AS n;
"""
TRANSFER = """
INSERT INTO drill_ledger VALUES ({number}, 1, 2, 500);
UPDATE customers SET balance = balance - 500 WHERE id = 1;
UPDATE customers SET balance = balance + 500 WHERE id = 2;
"""


def done(number: int, status: int = 204) -> Outcome:
    return Outcome("transfer", 0.0, 0.1, status, None if status == 204 else f"status {status}", number=number)


@pytest.fixture
def stage(fresh_database: FreshDatabase) -> Stage:
    fresh_database.execute(SHOP + create_ledger())
    nothing = cast("FaultProxy", None), cast("Service", None)
    return Stage(fresh_database.server, fresh_database.name, *nothing)


def test_books_that_balance_have_nothing_wrong(stage: Stage) -> None:
    stage.execute(TRANSFER.format(number=1) + TRANSFER.format(number=2))
    stage.execute("INSERT INTO orders VALUES (3, 700, 'paid'), (3, 900, 'cancelled')")
    stage.execute("UPDATE customers SET balance = balance - 700 WHERE id = 3")
    # Who was told of a failure may find the work done: that is no lie.
    assert audit(stage, [done(1), done(2, 500), done(3, 503)]) == Books()


def test_a_success_without_its_row_is_missing(stage: Stage) -> None:
    stage.execute(TRANSFER.format(number=1))
    assert audit(stage, [done(1), done(2), done(3)]) == Books(missing=2)


def test_a_transfer_done_twice_is_doubled(stage: Stage) -> None:
    stage.execute(TRANSFER.format(number=1) * 2)
    assert audit(stage, [done(1)]) == Books(doubled=1)


def test_money_that_no_row_tells_of_is_off(stage: Stage) -> None:
    stage.execute("UPDATE customers SET balance = balance + 1 WHERE id = 2")
    assert audit(stage, []) == Books(off=1)
