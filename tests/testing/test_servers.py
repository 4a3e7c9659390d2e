"""The suite's own servers."""

from __future__ import annotations

import psycopg
import pymysql
import pytest
from sqlalchemy import create_engine, make_url, text


def test_pgbouncer_serves_a_fresh_database(pgbouncer, fresh_database) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("transaction")
    engine = create_engine(pooler.url("psycopg", fresh_database.name))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_database()")).scalar() == fresh_database.name
    engine.dispose()
    assert "transaction" in pooler.admin("SHOW POOLS")


def test_a_pgbouncer_that_is_stopped_refuses_and_comes_back_on_its_port(pgbouncer, fresh_database) -> None:
    fresh_database.may_leave_backends = True
    pooler = pgbouncer("session")
    dsn = pooler.url("psycopg", fresh_database.name).replace("+psycopg", "")
    pooler.stop()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(dsn)
    pooler.start()
    psycopg.connect(dsn).close()


def test_mariadb_serves_a_fresh_database_and_kills_connections(fresh_mariadb) -> None:
    fresh_mariadb.execute("CREATE TABLE t (x int); INSERT INTO t VALUES (7)")
    url = make_url(fresh_mariadb.url("pymysql"))
    client = pymysql.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, database=url.database
    )
    assert fresh_mariadb.query("SELECT x FROM t") == [("7",)]
    assert len(fresh_mariadb.connections()) == 1
    assert fresh_mariadb.kill_connections() == 1
    with pytest.raises(pymysql.OperationalError):
        client.query("SELECT 1")
    client.close()


def test_a_killed_mariadb_comes_back_on_its_port(own_mariadb) -> None:
    own_mariadb.execute("CREATE DATABASE kept")
    own_mariadb.kill()
    own_mariadb.start()
    assert ("kept",) in own_mariadb.query("SHOW DATABASES")
