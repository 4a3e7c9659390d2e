"""Connections die at random moments, and every transfer between accounts is applied exactly once."""

from __future__ import annotations

import asyncio

import pytest
from bench.kills import OURS, UNCHECKED, by_run, by_run_unchecked, drill
from tests.servers import FreshDatabase, FreshMariaDB

from poolkeeper.testing import FaultProxy

KILLS = 150


def drilled(server: FreshDatabase | FreshMariaDB, driver: str, name: str) -> object:
    make = {OURS: by_run, UNCHECKED: by_run_unchecked}[name]
    with FaultProxy("127.0.0.1", server.server.port) as proxy:
        return asyncio.run(drill(make, server.url(driver), proxy, KILLS, with_key=name == OURS))


@pytest.mark.slow
@pytest.mark.parametrize("name", [OURS, UNCHECKED])
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "aiomysql"])
def test_every_transfer_is_applied_once_or_not_at_all_as_told(
    request: pytest.FixtureRequest, driver: str, name: str
) -> None:
    server = request.getfixturevalue("fresh_mariadb" if driver == "aiomysql" else "fresh_database")
    found = drilled(server, driver, name)
    assert found.kills >= KILLS
    assert (found.twice, found.missing, found.done_in_spite) == (0, 0, 0)
    assert (found.wrong_balances, found.created) == (0, 0)
    if name == OURS:
        assert set(found.told) == {"done"}, found.errors
