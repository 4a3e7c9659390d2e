"""The portable half of the pool, on blocking engines and real servers."""

from __future__ import annotations

import gc
import math
import select
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from tests.servers import FreshDatabase, FreshMariaDB

from poolkeeper.model import CloseReason
from poolkeeper.pool import Guard, guard
from poolkeeper.testing import FaultProxy

SIZE = 5
PATIENCE = 10


@contextmanager
def guarded(url: str, **options: Any) -> Iterator[tuple[Engine, Guard]]:
    recycle = options.pop("recycle", -1)
    engine = create_engine(url, pool_size=SIZE, max_overflow=0, pool_timeout=5, pool_recycle=recycle)
    watch = guard(engine, **options)
    try:
        yield engine, watch
    finally:
        engine.dispose()
    assert watch.opened == sum(watch.closed.values())


def ask(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT 7")).scalar_one())


def open_all(engine: Engine) -> None:
    for connection in [engine.connect() for _ in range(SIZE)]:
        connection.close()


def socket_of(connection: Connection) -> int:
    raw: Any = connection.connection.driver_connection
    return int((raw if hasattr(raw, "fileno") else raw._sock).fileno())


def ask_all(engine: Engine) -> list[int]:
    """One statement on every connection of the pool, and their sockets."""
    connections = [engine.connect() for _ in range(SIZE)]
    sockets = [socket_of(connection) for connection in connections]
    for connection in connections:
        assert connection.execute(text("SELECT 7")).scalar_one() == 7
        connection.close()
    return sockets


def wait_for_the_end(sockets: Iterable[int]) -> None:
    """Their end is on its way: through a proxy, or from a process that the server does not list any more."""
    for each in sockets:
        assert select.select([each], [], [], PATIENCE)[0]


def test_a_checkout_costs_no_round_trip(fresh_database: FreshDatabase) -> None:
    with FaultProxy(fresh_database.server.host, fresh_database.server.port) as proxy:
        url = proxy.url(fresh_database.url("psycopg"))
        with guarded(url, ping_after=60) as (engine, _):
            engine = engine.execution_options(isolation_level="AUTOCOMMIT")
            for _ in range(6):
                # The driver prepares a statement that it has seen five times.
                ask(engine)
            proxy.reset_counters()
            for _ in range(10):
                ask(engine)
            assert proxy.counters.turns == 10


@pytest.mark.parametrize("death", ["terminate", "fin", "rst"])
def test_no_statement_meets_a_dead_connection(fresh_database: FreshDatabase, death: str) -> None:
    with (
        FaultProxy(fresh_database.server.host, fresh_database.server.port) as proxy,
        guarded(proxy.url(fresh_database.url("psycopg"))) as (engine, watch),
    ):
        kill = {"terminate": fresh_database.terminate_backends, "fin": proxy.close_all, "rst": proxy.reset}[death]
        sockets = ask_all(engine)
        for _ in range(50 // SIZE):
            kill()
            wait_for_the_end(sockets)
            sockets = ask_all(engine)
        assert watch.closed[CloseReason.SOCKET] == 50


def test_a_silent_peer_costs_the_bounded_ping(fresh_database: FreshDatabase) -> None:
    with FaultProxy(fresh_database.server.host, fresh_database.server.port) as proxy:
        url = proxy.url(fresh_database.url("psycopg"))
        with guarded(url, ping_after=0.05, ping_timeout=0.3) as (engine, watch):
            ask(engine)
            proxy.drop("existing")
            time.sleep(0.1)
            assert ask(engine) == 7
            assert watch.closed[CloseReason.PING] == 1


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_one_silent_connection_speaks_for_all(driver: str, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("fresh_database" if driver == "psycopg" else "fresh_mariadb")
    host = getattr(database.server, "host", "127.0.0.1")
    with (
        FaultProxy(host, database.server.port) as proxy,
        guarded(proxy.url(database.url(driver)), ping_after=0.05, ping_timeout=0.3) as (engine, watch),
    ):
        open_all(engine)
        proxy.drop("existing")
        time.sleep(0.1)
        pings, ping = [], engine.dialect.do_ping
        engine.dialect.do_ping = lambda dbapi: pings.append(dbapi) or ping(dbapi)  # type: ignore[method-assign,func-returns-value]
        ask_all(engine)
        assert len(pings) == 1
        assert watch.closed == {CloseReason.PING: SIZE}


def test_a_server_that_takes_no_writes_loses_its_connections(fresh_mariadb: FreshMariaDB) -> None:
    reader = f"{fresh_mariadb.name}_reader"
    # Without the privilege to write all the same.
    fresh_mariadb.execute(
        f"CREATE USER {reader}; GRANT ALL ON {fresh_mariadb.name}.* TO {reader}; CREATE TABLE t (a INT)"
    )
    url = make_url(fresh_mariadb.url("pymysql")).set(username=reader, password="")
    with guarded(url.render_as_string(hide_password=False)) as (engine, watch):
        open_all(engine)
        fresh_mariadb.execute("SET GLOBAL read_only = 1")
        try:
            with engine.connect() as connection:
                with pytest.raises(exc.DBAPIError):
                    connection.execute(text("INSERT INTO t VALUES (7)"))
                assert connection.execute(text("SELECT 7")).scalar_one() == 7
        finally:
            fresh_mariadb.execute("SET GLOBAL read_only = 0")
        ask_all(engine)
        assert watch.closed == {CloseReason.SQLSTATE: SIZE}
    fresh_mariadb.execute(f"DROP USER {reader}")


def test_connections_opened_together_have_ages_of_their_own(fresh_database: FreshDatabase) -> None:
    with guarded(fresh_database.url("psycopg"), recycle=1, recycle_jitter=0.9) as (engine, watch):
        open_all(engine)
        time.sleep(0.5)
        ask_all(engine)
        early = watch.closed.get(CloseReason.LIFETIME, 0)
        time.sleep(0.55)
        ask_all(engine)
        assert early < SIZE
        assert watch.closed[CloseReason.LIFETIME] >= SIZE


@pytest.mark.parametrize("driver", ["pymysql"])
def test_mariadb_too(fresh_mariadb: FreshDatabase, driver: str) -> None:
    with guarded(fresh_mariadb.url(driver), ping_after=0.05) as (engine, watch):
        sockets = ask_all(engine)
        fresh_mariadb.kill_connections()  # type: ignore[attr-defined]
        wait_for_the_end(sockets)
        ask_all(engine)
        assert watch.closed[CloseReason.SOCKET] == SIZE


def test_a_file_is_never_pinged(tmp_path: Path) -> None:
    with guarded(f"sqlite:///{tmp_path}/notes.db", ping_after=0) as (engine, watch):
        engine.dialect.do_ping = pytest.fail  # type: ignore[method-assign,assignment]
        for _ in range(3):
            assert ask(engine) == 7
        assert watch.opened == 1


def test_reasons_are_counted(fresh_database: FreshDatabase) -> None:
    with guarded(fresh_database.url("psycopg"), ping_after=math.inf) as (engine, watch):
        with engine.connect() as connection:
            connection.invalidate()
        with engine.connect() as connection:
            connection.detach()
        with engine.connect() as connection, pytest.raises(exc.OperationalError):
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        ask(engine)
        engine.dispose()
        expected = (CloseReason.INVALIDATED, CloseReason.DETACHED, CloseReason.SQLSTATE, CloseReason.DISPOSED)
        assert watch.closed == dict.fromkeys(expected, 1)
        assert ask(engine) == 7


def test_threads_lose_no_place(fresh_database: FreshDatabase) -> None:
    failures: list[BaseException] = []
    with guarded(fresh_database.url("psycopg"), ping_after=0.01) as (engine, _):
        end = time.monotonic() + 1

        def work() -> None:
            while time.monotonic() < end:
                try:
                    ask(engine)
                except exc.DBAPIError:
                    # Its connection was in use when it was killed.
                    continue
                except BaseException as error:
                    failures.append(error)
                    return

        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads:
            thread.start()
        while time.monotonic() < end:
            fresh_database.terminate_backends()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        assert not failures
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        ask_all(engine)


@pytest.mark.parametrize("limits", [{"recycle": 0}, {"ping_after": 0}])
def test_a_new_connection_is_handed_out_at_once(fresh_database: FreshDatabase, limits: dict[str, int]) -> None:
    with guarded(fresh_database.url("psycopg"), **limits) as (engine, watch):
        engine.dialect.do_ping = pytest.fail  # type: ignore[method-assign,assignment]
        assert ask(engine) == 7
        if "recycle" in limits:
            assert (ask(engine), watch.opened) == (7, 2)


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_whoever_gets_a_connection_that_answered_too_late_gets_a_new_one(
    driver: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("fresh_database" if driver == "psycopg" else "fresh_mariadb")
    with guarded(database.url(driver), ping_after=0, ping_timeout=0.1) as (engine, watch):
        ask(engine)
        ping = engine.dialect.do_ping

        def ping_and_dawdle(connection: Any) -> bool:
            answered = ping(connection)
            time.sleep(0.2)
            return answered

        engine.dialect.do_ping = ping_and_dawdle  # type: ignore[method-assign]
        assert ask(engine) == 7
        assert watch.closed == {CloseReason.PING: 1}


def test_connections_from_before_it_are_looked_after_too(fresh_database: FreshDatabase) -> None:
    engine = create_engine(fresh_database.url("psycopg"))
    ask(engine)
    watch = guard(engine)
    with engine.connect() as connection:
        sockets = [socket_of(connection)]
    fresh_database.terminate_backends()
    wait_for_the_end(sockets)
    assert ask(engine) == 7
    assert (watch.opened, watch.closed) == (2, {CloseReason.SOCKET: 1})
    engine.dispose()


def test_siblings_of_a_broken_connection_are_invalidated(fresh_database: FreshDatabase) -> None:
    with guarded(fresh_database.url("psycopg")) as (engine, watch):
        open_all(engine)
        with engine.connect() as connection, pytest.raises(exc.OperationalError):
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        ask_all(engine)
        assert watch.closed == {CloseReason.SQLSTATE: 1, CloseReason.INVALIDATED: SIZE - 1}


def test_a_connection_that_cannot_be_reset_is_closed_for_that(fresh_database: FreshDatabase) -> None:
    with FaultProxy(fresh_database.server.host, fresh_database.server.port) as proxy:
        url = proxy.url(fresh_database.url("psycopg"))
        with guarded(url) as (engine, watch):
            connection = engine.raw_connection()
            connection.cursor().execute("SELECT 7")
            proxy.close_all()
            connection.close()
            assert watch.closed == {CloseReason.RESET: 1}


@pytest.mark.parametrize(
    ("limits", "closed"),
    [
        ({"pool_size": 1, "max_overflow": 1}, {CloseReason.OVERFLOW: 1, CloseReason.DISPOSED: 1}),
        ({"pool_size": 0}, {CloseReason.DISPOSED: 2}),
    ],
)
def test_what_is_beyond_the_size_is_overflow(
    fresh_database: FreshDatabase, limits: dict[str, int], closed: dict[CloseReason, int]
) -> None:
    engine = create_engine(fresh_database.url("psycopg"), **limits)
    watch = guard(engine)
    with engine.connect(), engine.connect():
        pass
    engine.dispose()
    assert watch.closed == closed


def test_a_connection_that_was_never_handed_out_is_not_counted(tmp_path: Path) -> None:
    with guarded(f"sqlite:///{tmp_path}/notes.db") as (engine, watch):
        ask(engine)
        with engine.connect() as connection:
            connection.invalidate()

        def refuse(*_: object) -> None:
            raise RuntimeError("no")

        event.listen(engine, "connect", refuse)
        with pytest.raises(RuntimeError):
            ask(engine)
        event.remove(engine, "connect", refuse)
        assert (ask(engine), watch.opened) == (7, 2)


def test_what_it_cannot_look_after_is_refused() -> None:
    engine = create_engine("sqlite:///notes.db")
    guard(engine)
    with pytest.raises(exc.ArgumentError, match="called for this engine before"):
        guard(engine)
    with pytest.raises(exc.ArgumentError, match="called for this engine before"):
        guard(engine.execution_options(isolation_level="AUTOCOMMIT"))
    with pytest.raises(exc.ArgumentError, match="NullPool"):
        guard(create_engine("sqlite:///notes.db", poolclass=NullPool))
    with pytest.raises(exc.ArgumentError, match="KeeperPool"):
        guard(create_async_engine("sqlite+aiosqlite:///notes.db").sync_engine)


def test_a_forgotten_engine_goes() -> None:
    engine = create_engine("sqlite:///notes.db")
    guard(engine)
    forgotten = weakref.ref(engine)
    del engine
    gc.collect()
    assert forgotten() is None
