"""Who a host is, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.pool import NullPool
from tests.mariadb_pairs import MariaDBPair
from tests.servers import FreshDatabase, FreshMariaDB, MariaDB, missing, server_folder

from poolkeeper.model import HostState, Place, Role
from poolkeeper.server import look_at_host
from poolkeeper.testing import EmbeddedPostgres

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
    assert before.written is not None
    for earlier, later in ((before.position, after.position), (before.written, after.written)):
        assert later.covers(earlier)
        assert not earlier.covers(later)
    assert before.at < after.at


def test_at_the_end_of_a_page_it_is_where_a_replica_stands_that_has_everything() -> None:
    # On a server of its own, where hardly anybody else writes to the log in between.
    with EmbeddedPostgres(settings={"autovacuum": "off"}) as server:
        engine = create_engine(server.url("psycopg"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            assert any(_ends_page_and_is_told(connection, size) for size in range(800, 900))


def _ends_page_and_is_told(connection: Connection, size: int) -> bool:
    """Have a record end where a page ends; False where somebody else wrote meanwhile."""
    first = connection.execute(INSERTED).scalar_one()
    connection.execute(RECORD, {"size": size})
    second = connection.execute(INSERTED).scalar_one()
    # Records are aligned, so this is true of sizes that are alike only.
    around = second - first - size
    connection.execute(RECORD, {"size": (PAGE - second % PAGE - around) % PAGE})
    behind_header = connection.execute(INSERTED).scalar_one()
    written = look_at_host(connection).written
    if behind_header % PAGE not in {24, 40}:
        return False
    assert written == Place.of_wal(behind_header - behind_header % PAGE)
    return True


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


def test_mariadb_without_a_log_tells_its_role_only(fresh_mariadb: FreshMariaDB) -> None:
    state = asked(fresh_mariadb.url("pymysql"))
    assert (state.role, state.position, state.written) == (Role.PRIMARY, None, None)
    assert (state.lag, state.stopped, state.takes_writes) == (None, False, True)


def test_a_mariadb_and_its_replica_tell_who_they_are_and_where(mariadb_pair: MariaDBPair) -> None:
    primary, replica = (asked(mariadb_pair.url(server, "pymysql")) for server in mariadb_pair.servers)
    assert (primary.role, primary.takes_writes, primary.server, primary.follows) == (Role.PRIMARY, True, 1, frozenset())
    assert (replica.role, replica.takes_writes, replica.server, replica.follows) == (Role.REPLICA, False, 2, {1})
    assert (replica.lag, replica.stopped) == (0.0, False)
    assert primary.written is not None
    assert primary.written == primary.position == replica.position
    mariadb_pair.replica.execute("STOP SLAVE SQL_THREAD")
    mariadb_pair.primary.execute("INSERT INTO notes.note VALUES ()")
    replica = asked(mariadb_pair.url(mariadb_pair.replica, "pymysql"))
    assert replica.position == primary.written
    assert replica.stopped
    written = asked(mariadb_pair.url(mariadb_pair.primary, "pymysql")).written
    assert written is not None
    assert not primary.written.covers(written)


def test_what_a_replica_wrote_by_itself_says_nothing_about_what_it_has(mariadb_pair: MariaDBPair) -> None:
    mariadb_pair.replica.execute("CREATE DATABASE errant; DROP DATABASE errant")
    primary, replica = (asked(mariadb_pair.url(server, "pymysql")) for server in mariadb_pair.servers)
    assert replica.position == primary.written
    assert replica.position != replica.written


def test_who_may_not_ask_is_told_no_more_than_read_only(mariadb_pair: MariaDBPair) -> None:
    mariadb_pair.primary.execute("CREATE USER blind@'127.0.0.1' IDENTIFIED BY 'blind'")
    mariadb_pair.primary.execute("GRANT ALL ON notes.* TO blind@'127.0.0.1'")
    mariadb_pair.catch_up()
    try:
        states = [asked(mariadb_pair.url(server, "pymysql", "blind")) for server in mariadb_pair.servers]
    finally:
        mariadb_pair.primary.execute("DROP USER blind@'127.0.0.1'")
    assert [(state.role, state.takes_writes, state.position) for state in states] == [
        (None, None, None),
        (Role.REPLICA, False, None),
    ]


@pytest.mark.slow
def test_a_member_of_a_galera_cluster_counts_for_itself() -> None:
    provider = Path("/usr/lib/galera/libgalera_smm.so")
    if not provider.exists():
        missing(str(provider), "galera-4")
    cluster = ["--wsrep-on=ON", f"--wsrep-provider={provider}", "--wsrep-cluster-address=gcomm://127.0.0.1:0"]
    options = ["--wsrep-new-cluster", "--wsrep-node-address=127.0.0.1", "--binlog-format=ROW", "--log-bin=log"]
    with server_folder(MariaDB.RUN_AS) as folder, closing(MariaDB(folder, *cluster, *options)) as member:
        member.initialise()
        member.start()
        member.execute("CREATE DATABASE notes")
        state = asked(member.url("pymysql"))
        member.kill()
    assert (state.role, state.takes_writes, state.position, state.written) == (None, None, None, None)


def asked(url: str) -> HostState:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            return look_at_host(connection)
    finally:
        engine.dispose()
