from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import NullPool
from tests.servers import FreshDatabase

from poolkeeper import DatabaseSettings
from poolkeeper.drill import HttpClient, Service
from poolkeeper.drill.books import create_ledger
from poolkeeper.drill.stacks import LESSONS, POOL_MODE, STACKS
from poolkeeper.drill.stacks.stock import connect_args


def test_there_are_four_and_the_last_is_ours() -> None:
    assert list(STACKS) == ["naive", "guide", "tuned", "poolkeeper"]


def test_only_poolkeeper_is_told_by_its_own_variables() -> None:
    for stack in STACKS.values():
        told = stack.environment(3, {"pool_recycle": 4})
        assert told.pop("DRILL_STACK") == stack.name
        prefix = "DATABASE_" if stack.name == "poolkeeper" else "DRILL_"
        assert all(name.startswith(prefix) for name in told)
        assert told[f"{prefix}POOL_RECYCLE"] == "4"


def test_settings_of_poolkeeper_are_accepted() -> None:
    told = STACKS["poolkeeper"].environment(3, {})
    names = {name.removeprefix("DATABASE_").lower() for name in told if name.startswith("DATABASE_")}
    assert names <= set(DatabaseSettings.model_fields)


def pool_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the code of a lesson makes of what it is told."""
    for variable, value in LESSONS[name].environment(3, {}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    monkeypatch.delitem(sys.modules, "poolkeeper.drill.stacks.step", raising=False)
    return importlib.import_module("poolkeeper.drill.stacks.step").db.engine.sync_engine.pool


@pytest.mark.parametrize(
    ("name", "size", "most", "age", "ping"),
    [
        ("lesson-2-ping", 5, 15, -1, True),
        ("lesson-3-recycle", 5, 15, 1.3, True),
        ("lesson-4-bounds", 20, 20, 1.3, True),
        ("bounds-first", 20, 20, -1, False),
        ("hour-first", 5, 15, 3600, False),
    ],
)
def test_each_lesson_adds_what_it_says(
    name: str, size: int, most: int, age: float, ping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(name, monkeypatch)
    assert (pool.size(), pool.size() + pool._max_overflow, pool._recycle, pool._pre_ping) == (size, most, age, ping)
    assert LESSONS[name].connections == most


def test_the_last_lesson_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(pool_of("lesson-5-null", monkeypatch), NullPool)


def test_before_a_pooler_that_shares_connections_stock_pools_keep_no_statements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert connect_args(timeout=5) == {"timeout": 5}
    monkeypatch.setenv(POOL_MODE, "session")
    assert connect_args() == {}
    monkeypatch.setenv(POOL_MODE, "transaction")
    told = connect_args(timeout=5)
    name = told.pop("prepared_statement_name_func")
    assert name() != name()
    assert told == {"timeout": 5, "statement_cache_size": 0, "prepared_statement_cache_size": 0}


@pytest.fixture(params=list(STACKS))
def service(request: pytest.FixtureRequest, fresh_database: FreshDatabase, tmp_path: Path) -> Iterator[Service]:
    fresh_database.execute(create_ledger())
    environment = STACKS[request.param].environment(5, {})
    app = "poolkeeper.drill.stacks.app:app"
    with Service(fresh_database.url(), tmp_path, app=app, environment=environment, grace=5) as service:
        yield service


@pytest.mark.slow
@pytest.mark.anyio
async def test_each_runs_the_same_service(service: Service, fresh_database: FreshDatabase) -> None:
    address = urlsplit(service.address)
    async with HttpClient(address.hostname or "", address.port or 0) as client:
        wanted = {"number": 7, "payer": 1, "payee": 2, "amount": 500, "hold": 0.01}
        assert (await client.request("POST", "/drill/transfers", json.dumps(wanted).encode())).status == 204
        assert (await client.request("GET", "/drill/slow?seconds=0.01")).status == 200
        assert (await client.request("GET", "/customers/1")).status == 200
        order = {"customer_id": 3, "lines": [{"product_id": 1, "quantity": 2}]}
        assert (await client.request("POST", "/orders", json.dumps(order).encode())).status == 201
        # Two of the stacks answer first and commit then.
        async with asyncio.timeout(30):
            while json.loads((await client.request("GET", "/drill/pool")).body)["in_use"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert fresh_database.query("SELECT number, amount FROM drill_ledger") == [("7", "500")]
    assert fresh_database.query("SELECT balance - 100000000 FROM customers WHERE id IN (1, 2) ORDER BY id") == [
        ("-500",),
        ("500",),
    ]
