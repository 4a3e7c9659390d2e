"""Who a host is, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.pool import NullPool
from tests.servers import FreshDatabase, FreshMariaDB

from poolkeeper.model import Role
from poolkeeper.server import look_at_host

PAGE = 8192
INSERTED = text("SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS bigint)")
# A record of the log with so many bytes in it.
RECORD = text("SELECT pg_logical_emit_message(false, 'p', repeat('x', :size))")


@pytest.fixture
def connection(fresh_database: FreshDatabase) -> Iterator[Connection]:
    engine = create_engine(fresh_database.url("psycopg"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def test_a_primary_tells_where_it_is(connection: Connection) -> None:
    before = look_at_host(connection)
    connection.execute(text("CREATE TABLE t (id int)"))
    after = look_at_host(connection)
    assert before.role is after.role is Role.PRIMARY
    assert before.position is not None
    assert after.position is not None
    assert after.written is not None
    assert before.position < after.position
    assert before.written is not None
    assert before.written < after.written
    assert before.at < after.at


def test_at_the_end_of_a_page_it_is_where_a_replica_stands_that_has_everything(connection: Connection) -> None:
    # Others write to the log too, so it may take more than one attempt to end a record right there.
    for _ in range(20):
        first = connection.execute(INSERTED).scalar_one()
        connection.execute(RECORD, {"size": 800})
        second = connection.execute(INSERTED).scalar_one()
        around = second - first - 800
        connection.execute(RECORD, {"size": (PAGE - second % PAGE - around) % PAGE})
        behind_header = connection.execute(INSERTED).scalar_one()
        written = look_at_host(connection).written
        if behind_header % PAGE in {24, 40}:
            assert written == behind_header - behind_header % PAGE
            return
    pytest.fail("no record ended where a page ends")


def test_who_may_not_see_positions_still_sees_the_role(fresh_database: FreshDatabase, role: Callable[..., str]) -> None:
    name = role("blind")
    function = "pg_catalog.pg_current_wal_insert_lsn()"
    fresh_database.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    engine = create_engine(make_url(fresh_database.url("psycopg")).set(username=name), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            state = look_at_host(connection)
    finally:
        engine.dispose()
        fresh_database.execute(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC")
    assert (state.role, state.position, state.written) == (Role.PRIMARY, None, None)


def test_mariadb_tells_its_role(fresh_mariadb: FreshMariaDB) -> None:
    engine = create_engine(fresh_mariadb.url("pymysql"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        state = look_at_host(connection)
    engine.dispose()
    assert (state.role, state.position, state.lag, state.stopped) == (Role.PRIMARY, None, None, False)
