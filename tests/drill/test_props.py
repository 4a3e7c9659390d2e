from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.servers import FreshDatabase, find_program

from poolkeeper.drill.props import (
    HOSTS,
    NAME,
    follower,
    named_host,
    neighbours,
    pooler_in,
    role_with,
    slow_provider,
)
from poolkeeper.drill.service import Service
from poolkeeper.drill.stage import Site, Stage
from poolkeeper.testing import EmbeddedPostgres, FaultProxy


@pytest.fixture
def site(fresh_database: FreshDatabase) -> Iterator[Site]:
    server = fresh_database.server
    folder = server.folder / fresh_database.name
    folder.mkdir()
    with FaultProxy(server.host, server.port) as proxy:
        yield Site(server, fresh_database.name, proxy, folder)


async def connected(url: str, **options: Any) -> asyncpg.Connection:
    return await asyncpg.connect(url.replace("+asyncpg", ""), timeout=30, **options)


def test_a_slow_provider_takes_its_time_and_then_says_yes() -> None:
    with slow_provider(0.1) as environment:
        address = urlsplit(environment["ORDERS_PAYMENT_URL"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        began = time.monotonic()
        connection.request("POST", address.path, b"{}")
        assert connection.getresponse().status == 200
        assert time.monotonic() - began >= 0.1
        connection.close()


@pytest.mark.anyio
async def test_an_ordinary_role_has_its_limit_and_leaves_nothing(site: Site) -> None:
    with role_with(1)(site) as environment:
        connection = await connected(environment["DATABASE_URL"])
        await connection.execute("CREATE TABLE mine (number int)")
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await connected(environment["DATABASE_URL"])
        connection.terminate()
    assert site.server.query("SELECT count(*) FROM pg_roles WHERE rolname = 'drill_app'") == [("0",)]


@pytest.mark.anyio
async def test_neighbours_take_all_but_what_they_leave(site: Site) -> None:
    free = 100 - 3
    with neighbours(site) as environment:
        assert site.crowd is not None
        site.crowd.take_all_but(free - 4)
        assert len(site.server.activity("usename = 'postgres' AND application_name = ''")) >= 3
        await (await connected(environment["DATABASE_URL"])).close()
        site.crowd.leave()
        # Nobody is left out by a crowd that is asked to leave more than there is.
        site.crowd.take_all_but(free + 1)
    assert site.server.query("SELECT count(*) FROM pg_roles WHERE rolname = 'drill_app'") == [("0",)]


@pytest.mark.slow
def test_a_follower_has_every_commit_and_the_server_is_as_before_when_it_has_gone(tmp_path: Path) -> None:
    with EmbeddedPostgres() as server, FaultProxy(server.host, server.port) as proxy:
        site = Site(server, "postgres", proxy, tmp_path)
        with follower(site) as environment:
            assert site.replica is not None
            assert str(site.replica.port) in environment["DATABASE_REPLICA_URLS"]
            server.execute("CREATE TABLE kept AS SELECT 1 AS number")
            server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            server.kill()
            site.replica.promote()
            assert site.replica.query("SELECT number FROM kept") == [("1",)]
        assert not site.replica.is_running
        # Neither read-only nor waiting for somebody who is gone.
        server.execute("INSERT INTO kept VALUES (2)")
        assert server.query("SELECT length(current_setting('synchronous_standby_names'))") == [("0",)]


_RESOLVE = """
import os, socket, sys
from pathlib import Path
from poolkeeper.drill.stacks import resolver
resolver.install(os.environ)
print(socket.getaddrinfo(sys.argv[1], 5432, type=socket.SOCK_STREAM)[0][4][0])
print(socket.getaddrinfo("127.0.0.9", 5432, type=socket.SOCK_STREAM)[0][4][0])
Path(os.environ["DRILL_HOSTS"]).write_text("")
try:
    socket.getaddrinfo(sys.argv[1], 5432)
except socket.gaierror as error:
    print(error.errno)
"""


def test_a_name_is_what_the_file_says_and_fails_where_it_says_nothing(site: Site) -> None:
    with named_host(site) as environment:
        assert NAME in environment["DATABASE_URL"]
        told = {"DRILL_HOSTS": environment["DRILL_HOSTS"]}
        done = subprocess.run(
            [sys.executable, "-c", _RESOLVE, NAME], env=told, capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["127.0.0.1", "127.0.0.9", str(socket.EAI_AGAIN)]
    assert Path(environment["DRILL_HOSTS"]) == site.folder / HOSTS


@pytest.fixture
def needs_pgbouncer() -> None:
    find_program("pgbouncer", "pgbouncer")


@pytest.mark.anyio
@pytest.mark.usefixtures("needs_pgbouncer")
async def test_a_pooler_stands_between_and_comes_back_on_its_port(site: Site) -> None:
    url = site.proxy.url(site.server.url(database=site.database))
    with pooler_in("session", default_pool_size=1)(site) as environment:
        assert environment["DATABASE_PROVIDER"] == "pgbouncer-session"
        assert site.pooler is not None
        connection = await connected(url)
        assert await connection.fetchval("SELECT 1") == 1
        site.pooler.stop()
        with pytest.raises((OSError, asyncpg.PostgresConnectionError)):
            await connection.fetchval("SELECT 1")
        site.pooler.start()
        connection = await connected(url)
        assert await connection.fetchval("SELECT 2") == 2
        await connection.close()


@pytest.mark.anyio
@pytest.mark.usefixtures("needs_pgbouncer")
async def test_a_pooler_in_transaction_mode_lends_one_server_connection_to_all(site: Site) -> None:
    url = site.proxy.url(site.server.url(database=site.database))
    with pooler_in("transaction", default_pool_size=1)(site):
        stage = Stage(site.server, site.database, site.proxy, Service("sqlite://", site.folder), site=site)
        first, second = [await connected(url, statement_cache_size=0) for _ in range(2)]
        pids = {await client.fetchval("SELECT pg_backend_pid()") for client in (first, second, first)}
        assert len(pids) == 1
        # It idles in the pooler's hands; in a transaction it is in the hands of a client.
        assert stage.backends() == 0
        async with first.transaction():
            await first.execute("SELECT 1")
            assert stage.backends() == 1
        await first.close()
        await second.close()
