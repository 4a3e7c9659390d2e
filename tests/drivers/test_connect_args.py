"""What a server and the kernel see of the options, read back from them."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from tests.drivers.conftest import KINDS, Kind, Opener, on_both_loops

from poolkeeper.drivers import ConnectOptions, is_statement_timeout
from poolkeeper.testing import EmbeddedPostgres

pytestmark = pytest.mark.anyio

on_postgresql = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_postgresql], ids=str)
on_mysql = pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.is_postgresql], ids=str)


@on_postgresql
async def test_the_application_name_is_what_the_server_shows(connect: Opener, server_url: str) -> None:
    opened = await connect(server_url, ConnectOptions(application_name="orders/host-1/42"))
    assert await opened.scalar("SHOW application_name") == "orders/host-1/42"


@on_postgresql
async def test_a_long_application_name_is_cut_to_63_bytes_between_characters(kind: Kind) -> None:
    url = f"postgresql+{kind.name}://host/db"
    arguments = kind.driver(url).connect_args(ConnectOptions(application_name="é" * 40))
    name = arguments.get("application_name") or arguments["server_settings"]["application_name"]
    assert name == "é" * 31


@on_mysql
async def test_mysql_is_told_the_application_name(kind: Kind) -> None:
    arguments = kind.driver(f"mysql+{kind.name}://host/db").connect_args(ConnectOptions(application_name="orders"))
    assert arguments["program_name"] == "orders"


def slow(kind: Kind) -> str:
    return "SELECT pg_sleep(20)" if kind.is_postgresql else "SELECT sleep(20)"


async def test_the_server_ends_a_statement_that_runs_too_long(connect: Opener, kind: Kind, server_url: str) -> None:
    opened = await connect(server_url, ConnectOptions(statement_timeout=0.2))
    with pytest.raises(DBAPIError) as ended:
        await opened.execute(slow(kind))
    assert is_statement_timeout(ended.value)
    assert not ended.value.connection_invalidated


async def statement_timeout(opened: Opener | object, kind: Kind) -> str:
    if kind.is_postgresql:
        return await opened.scalar("SHOW statement_timeout")
    return str(await opened.scalar("SELECT @@max_statement_time"))


async def test_without_a_statement_timeout_the_server_keeps_its_own(
    connect: Opener, kind: Kind, server_url: str
) -> None:
    opened = await connect(server_url, ConnectOptions(statement_timeout=None))
    assert float(await statement_timeout(opened, kind)) == 0


async def test_a_pooler_that_refuses_startup_parameters_is_sent_none(
    connect: Opener, kind: Kind, server_url: str
) -> None:
    opened = await connect(server_url, ConnectOptions(statement_timeout=5, startup_parameters=False))
    assert float(await statement_timeout(opened, kind)) == 0


@on_postgresql
async def test_a_cancelled_statement_is_no_statement_timeout(connect: Opener, kind: Kind, server_url: str) -> None:
    opened = await connect(server_url)
    with pytest.raises(DBAPIError) as ended:
        await opened.execute(
            "DO $$BEGIN RAISE query_canceled USING MESSAGE = 'canceling statement due to user request'; END$$"
        )
    assert not is_statement_timeout(ended.value)


def keepalive_of(fd: int) -> tuple[int, ...]:
    with socket.socket(fileno=os.dup(fd)) as copy:
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        return copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *(
            copy.getsockopt(socket.IPPROTO_TCP, option) for option in options
        )


@on_both_loops
async def test_tcp_keepalive_is_set_on_the_real_socket(connect: Opener, server_url: str) -> None:
    opened = await connect(server_url, ConnectOptions(tcp_keepalive=300))
    fd = opened.driver.socket_of(opened.driver_connection)
    assert fd is not None
    assert keepalive_of(fd) == (1, 300, 30, 3, 90_000)


@on_postgresql
async def test_a_unix_socket_is_left_alone(connect: Opener, kind: Kind, postgres: EmbeddedPostgres) -> None:
    folder = postgres.query("SHOW unix_socket_directories")[0][0]
    url = make_url(postgres.url(kind.name))
    on_socket = url.set(host=None, port=None, query={"host": folder, "port": str(url.port)})
    opened = await connect(on_socket.render_as_string(hide_password=False), ConnectOptions(tcp_keepalive=300))
    fd = opened.driver.socket_of(opened.driver_connection)
    with socket.socket(fileno=os.dup(fd)) as copy:
        assert copy.family == socket.AF_UNIX
        assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


@on_postgresql
@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "not prepared"])
async def test_prepared_statements_stay_on_the_server_only_where_they_may(
    connect: Opener, server_url: str, prepared: bool
) -> None:
    opened = await connect(server_url, ConnectOptions(prepared_statements=prepared))
    for _ in range(8):
        await opened.execute("SELECT 1 AS one")
    await opened.commit()
    left = await opened.scalar("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%AS one%'")
    assert bool(left) is prepared


@on_postgresql
async def test_a_transaction_pooler_takes_our_connections(
    connect: Opener, kind: Kind, pgbouncer, fresh_database
) -> None:
    pooler = pgbouncer("transaction")
    fresh_database.may_leave_backends = True
    options = ConnectOptions(statement_timeout=5, prepared_statements=False, startup_parameters=False)
    clients = [await connect(pooler.url(kind.name, fresh_database.name), options) for _ in range(3)]
    for _ in range(4):
        for client in clients:
            assert await client.scalar("SELECT 1") == 1
            await client.commit()


@on_postgresql
async def test_what_the_user_gives_wins_and_is_merged(connect: Opener, kind: Kind, server_url: str) -> None:
    given = {"server_settings": {"work_mem": "3MB"}} if kind.name == "asyncpg" else {"options": "-c work_mem=3MB"}
    opened = await connect(server_url, ConnectOptions(statement_timeout=7, driver_arguments=given))
    assert await opened.scalar("SHOW work_mem") == "3MB"
    assert await opened.scalar("SHOW statement_timeout") == "7s"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name == "psycopg"], ids=str)
async def test_what_the_url_gives_wins_and_is_merged(connect: Opener, server_url: str) -> None:
    url = make_url(server_url).update_query_dict({"application_name": "theirs", "options": "-c work_mem=3MB"})
    opened = await connect(url.render_as_string(hide_password=False), ConnectOptions(statement_timeout=7))
    assert await opened.scalar("SHOW application_name") == "theirs"
    assert await opened.scalar("SHOW work_mem") == "3MB"
    assert await opened.scalar("SHOW statement_timeout") == "7s"


@on_mysql
async def test_the_users_init_command_is_kept_beside_our_timeout(connect: Opener, server_url: str) -> None:
    given = {"init_command": "SET lock_wait_timeout=7"}
    opened = await connect(server_url, ConnectOptions(statement_timeout=3, driver_arguments=given))
    assert await opened.rows("SELECT @@lock_wait_timeout, @@max_statement_time") == [(7, 3.0)]


def test_the_options_show_no_driver_arguments() -> None:
    options = replace(ConnectOptions(), driver_arguments={"password": "hunter2"})
    assert "hunter2" not in repr(options)
