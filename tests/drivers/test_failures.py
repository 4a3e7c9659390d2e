"""Each reason for a failed connect, made by a real server or network, told by every driver's own error."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from tests.drivers.conftest import KINDS, Kind, Opener

from poolkeeper.drivers import (
    ConnectOptions,
    classify_connect_failure,
    is_lock_timeout,
    number_of,
    sqlstate_of,
)
from poolkeeper.errors import ConnectFailed, ConnectFailure
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

on_postgresql = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_postgresql], ids=str)
on_mysql = pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.is_postgresql], ids=str)
pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def failure(connect: Opener, url: str, **driver_arguments: Any) -> ConnectFailure:
    with pytest.raises(Exception) as failed:
        await connect(url, ConnectOptions(connect_timeout=3, driver_arguments=driver_arguments))
    return classify_connect_failure(failed.value)


async def failure_of_many(connect: Opener, url: str) -> ConnectFailure:
    """One after the other, until there is no place left or a shutdown that was asked for has begun."""
    for _ in range(50):
        try:
            await connect(url)
        except Exception as failed:
            return classify_connect_failure(failed)
        await asyncio.sleep(0.01)
    raise AssertionError("connects never failed")


def changed(url: str, **parts: Any) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def strict_postgres() -> Iterator[EmbeddedPostgres]:
    """Asks for passwords and has few places."""
    settings = {"superuser_reserved_connections": "2", "reserved_connections": "0"}
    with EmbeddedPostgres(max_connections=6, auth="scram-sha-256", settings=settings) as server:
        server.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
        yield server


async def test_an_unknown_host_name(connect: Opener, server_url: str) -> None:
    assert await failure(connect, changed(server_url, host="no-such-host.invalid")) is ConnectFailure.DNS


async def test_a_port_nobody_listens_on(connect: Opener, server_url: str, proxy: FaultProxy) -> None:
    proxy.refuse()
    assert await failure(connect, proxy.url(server_url)) is ConnectFailure.REFUSED


async def test_a_name_with_several_addresses_that_all_refuse(
    connect: Opener, server_url: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (home, proxy.port))
        for home in ("127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: homes)
    proxy.refuse()
    url = changed(server_url, host="two-homes.test", port=proxy.port)
    assert await failure(connect, url) is ConnectFailure.REFUSED


@on_postgresql
async def test_a_unix_socket_that_is_not_there(connect: Opener, server_url: str) -> None:
    missing = make_url(server_url).set(host=None, port=None).update_query_dict({"host": "/nonexistent"})
    assert await failure(connect, missing.render_as_string()) is ConnectFailure.REFUSED


async def test_a_host_that_accepts_and_never_answers(connect: Opener, server_url: str, proxy: FaultProxy) -> None:
    proxy.accept_and_hang()
    with pytest.raises(Exception) as failed:
        await connect(proxy.url(server_url), ConnectOptions(connect_timeout=0.2))
    assert classify_connect_failure(failed.value) is ConnectFailure.TIMEOUT


async def test_a_network_that_resets_every_connection(connect: Opener, server_url: str, proxy: FaultProxy) -> None:
    proxy.reset("all")
    assert await failure(connect, proxy.url(server_url)) is ConnectFailure.NETWORK


async def test_tls_demanded_from_a_server_without(connect: Opener, kind: Kind, server_url: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    demand: dict[str, Any] = {
        "asyncpg": {"ssl": "require"},
        "psycopg": {"sslmode": "require"},
        "pymysql": {"ssl": {"check_hostname": False}},
    }.get(kind.name, {"ssl": context})
    assert await failure(connect, server_url, **demand) is ConnectFailure.TLS


@on_postgresql
async def test_a_wrong_password_on_postgresql(connect: Opener, kind: Kind, strict_postgres: EmbeddedPostgres) -> None:
    url = changed(strict_postgres.url(kind.name), password="wrong")
    assert await failure(connect, url) is ConnectFailure.AUTHENTICATION


@on_postgresql
async def test_a_role_that_does_not_exist(connect: Opener, server_url: str) -> None:
    assert await failure(connect, changed(server_url, username="nobody")) is ConnectFailure.AUTHENTICATION


@on_mysql
async def test_a_wrong_password_on_mariadb(connect: Opener, server_url: str) -> None:
    assert await failure(connect, changed(server_url, password="wrong")) is ConnectFailure.AUTHENTICATION


async def test_a_database_that_does_not_exist(connect: Opener, server_url: str) -> None:
    assert await failure(connect, changed(server_url, database="nowhere")) is ConnectFailure.NO_SUCH_DATABASE


@on_postgresql
@pytest.mark.parametrize("user", ["app", "superuser"])
async def test_no_place_left_on_postgresql(
    connect: Opener, kind: Kind, strict_postgres: EmbeddedPostgres, user: str
) -> None:
    url = strict_postgres.url(kind.name)
    if user == "app":
        url = changed(url, username="app", password="app")
    assert await failure_of_many(connect, url) is ConnectFailure.TOO_MANY_CONNECTIONS


@on_mysql
async def test_no_place_left_for_a_user_of_mariadb(connect: Opener, database: Any, server_url: str) -> None:
    user = f"u_{database.name}"
    database.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'p' WITH MAX_USER_CONNECTIONS 1")
    database.execute(f"GRANT ALL ON {database.name}.* TO {user}@'127.0.0.1'")
    url = changed(server_url, username=user, password="p")
    await connect(url)
    assert await failure(connect, url) is ConnectFailure.TOO_MANY_CONNECTIONS
    await connect.close()
    database.execute(f"DROP USER {user}@'127.0.0.1'")


async def test_no_place_left_on_mariadb(own_mariadb: Any) -> None:
    own_mariadb.execute("SET GLOBAL max_connections = 10; CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app'")
    reasons = set()
    for kind in KINDS:
        if not kind.is_postgresql:
            opener = Opener(kind)
            url = changed(own_mariadb.url(kind.name), username="app", password="app")
            reasons.add(await failure_of_many(opener, url))
            await opener.close()
    assert reasons == {ConnectFailure.TOO_MANY_CONNECTIONS}


@on_postgresql
async def test_a_postgresql_that_is_shutting_down(connect: Opener, kind: Kind) -> None:
    with EmbeddedPostgres() as server:
        await connect(server.url(kind.name))
        stopping = asyncio.create_task(asyncio.to_thread(server.stop, "smart"))
        try:
            assert await failure_of_many(connect, server.url(kind.name)) is ConnectFailure.STARTING_OR_STOPPING
        finally:
            await connect.close()
            await stopping


@on_postgresql
async def test_a_pooler_that_is_full(connect: Opener, kind: Kind, pgbouncer: Any) -> None:
    pooler = pgbouncer("transaction", max_client_conn=2)
    assert await failure_of_many(connect, pooler.url(kind.name)) is ConnectFailure.TOO_MANY_CONNECTIONS


@on_postgresql
async def test_a_pooler_that_knows_no_such_database(connect: Opener, kind: Kind, pgbouncer: Any) -> None:
    pooler = pgbouncer("transaction")
    assert await failure(connect, pooler.url(kind.name, "nowhere")) is ConnectFailure.NO_SUCH_DATABASE


@on_postgresql
async def test_a_lock_that_is_not_to_be_had(connect: Opener, server_url: str) -> None:
    holder, waiter = await connect(server_url), await connect(server_url)
    await holder.execute("SELECT pg_advisory_xact_lock(1)")
    await waiter.execute("SET LOCAL lock_timeout = 20")
    with pytest.raises(DBAPIError) as refused:
        await waiter.execute("SELECT pg_advisory_xact_lock(1)")
    assert sqlstate_of(refused.value) == "55P03"
    assert is_lock_timeout(refused.value)


@on_mysql
async def test_an_error_number_of_mariadb_is_found(connect: Opener, server_url: str) -> None:
    opened = await connect(server_url)
    with pytest.raises(DBAPIError) as failed:
        await opened.execute("SELECT * FROM nothing")
    assert number_of(failed.value) == 1146
    assert sqlstate_of(failed.value) == "42S02"
    assert not is_lock_timeout(failed.value)


def test_the_nearest_error_decides_and_not_what_was_being_handled_before() -> None:
    nearest = RuntimeError('FATAL: database "x" does not exist')
    nearest.__context__ = TimeoutError()
    assert classify_connect_failure(nearest) is ConnectFailure.NO_SUCH_DATABASE


def test_an_error_that_says_nothing_is_other() -> None:
    assert classify_connect_failure(ValueError("what")) is ConnectFailure.OTHER


def test_a_wrapped_error_is_looked_into() -> None:
    refused = ConnectFailed(ConnectFailure.OTHER, ConnectionRefusedError(111, "refused"), "db")
    assert classify_connect_failure(refused) is ConnectFailure.REFUSED
