"""How connections are opened: failures are one type, and the user's own arguments and listeners have their say."""

from __future__ import annotations

import os
import socket
import traceback
from typing import Any

import pytest
from sqlalchemy import event, exc, make_url, text
from sqlalchemy.pool import StaticPool
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on

from poolkeeper import ConnectFailed, ConnectFailure, Database
from poolkeeper.drivers import driver_for

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")


def elsewhere(store: Store, **changes: Any) -> str:
    return make_url(store.url).set(**changes).render_as_string(hide_password=False)


@on(*POSTGRESQL, *MARIADB)
async def test_a_failure_to_connect_is_an_operational_error_with_a_reason_and_no_password(store: Store) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = elsewhere(store, password="s3cr3t-pw", port=unused.getsockname()[1])
        async with Database(url, min_idle=0, connect_grace=0) as database:
            with pytest.raises(exc.OperationalError) as failed:
                async with database.session() as session:
                    await session.execute(SELECT)
            assert database.connectivity.failure is failed.value.__cause__
            assert database.snapshot().in_use == 0
    error = failed.value
    assert isinstance(error, ConnectFailed)
    assert error.reason is ConnectFailure.REFUSED
    assert isinstance(error.__cause__, ConnectFailed)
    assert error.__cause__.__cause__ is error.orig is error.__cause__.orig
    told = f"{error} {error!r} {''.join(traceback.format_exception(error))} {database!r}"
    assert "s3cr3t-pw" not in told
    assert "could not connect to" in told


@on(*BLOCKING)
def test_a_blocking_failure_to_connect_is_the_same(store: Store) -> None:
    database = Database(elsewhere(store, database="no_such_database"))
    with pytest.raises(ConnectFailed) as failed, database.sync_session() as session:
        session.execute(SELECT)
    assert failed.value.reason is ConnectFailure.NO_SUCH_DATABASE


@on(*POSTGRESQL, *MARIADB)
async def test_a_listener_that_rotates_credentials_still_runs(store: Store) -> None:
    async with Database(elsewhere(store, database="not_this_one"), min_idle=0) as database:

        @event.listens_for(database.engine.sync_engine, "do_connect")
        def rotate(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
            name = "db" if "db" in parameters else "dbname" if "dbname" in parameters else "database"
            parameters[name] = make_url(store.url).database

        async with database.session() as session:
            await session.execute(text("SELECT count(*) FROM note"))


@on(POSTGRESQL[0])
async def test_whatever_create_engine_takes_passes_through(store: Store) -> None:
    opened = []

    async def create() -> Any:
        import asyncpg

        opened.append(1)
        url = make_url(store.url)
        return await asyncpg.connect(host=url.host, port=url.port, user=url.username, database=url.database)

    options = {"async_creator": create, "execution_options": {"isolation_level": "SERIALIZABLE"}}
    async with store.make(engine_options=options) as database, database.session() as session:
        assert await session.scalar(text("SHOW transaction_isolation")) == "serializable"
        assert opened == [1]
    async with store.make(engine_options={"poolclass": StaticPool}, pool="null") as database:
        assert isinstance(database.engine.pool, StaticPool)


@on(*POSTGRESQL)
async def test_the_server_and_the_socket_show_the_settings(store: Store) -> None:
    database = store.make(service="orders", statement_timeout=7, tcp_keepalive=77)
    async with database, database.session() as session:
        assert await session.scalar(text("SHOW statement_timeout")) == "7s"
        [backend] = store.connections()
        assert backend.application_name.startswith("orders/")
        raw = await (await session.connection()).get_raw_connection()
        fd = driver_for(make_url(store.url), is_async=True).socket_of(raw.driver_connection)
        assert fd is not None
        with socket.socket(fileno=os.dup(fd)) as ours:
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77


@on(*POSTGRESQL)
async def test_the_users_own_connect_args_win(store: Store) -> None:
    mine = (
        {"server_settings": {"application_name": "mine"}}
        if store.kind.driver == "asyncpg"
        else {"application_name": "mine"}
    )
    async with store.make(connect_args=mine) as database, database.session() as session:
        assert await session.scalar(text("SHOW application_name")) == "mine"
        assert await session.scalar(text("SHOW statement_timeout")) == "30s"
