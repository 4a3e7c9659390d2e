from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from tests.servers import FreshDatabase

from poolkeeper import ConnectFailed
from poolkeeper.drill import drop_tables, embedded_postgres, own_database, sqlite_file
from poolkeeper.drill.place import TablesLeft


def test_only_tables_with_the_prefix_are_dropped_whatever_their_foreign_keys(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/own.db")
    ours, theirs = "poolkeeper_demo_ab12cd_", ["customers", "poolkeeper_demo_ab12ce_customers"]
    with engine.begin() as connection:
        for table in [*theirs, f"{ours}customers"]:
            connection.execute(text(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)"))
        connection.execute(text(f"CREATE TABLE {ours}orders (id INTEGER REFERENCES {ours}customers)"))
    dropped = drop_tables(f"sqlite+aiosqlite:///{tmp_path}/own.db", ours)
    assert dropped == [f"{ours}customers", f"{ours}orders"]
    assert inspect(engine).get_table_names() == theirs
    engine.dispose()


@pytest.mark.parametrize("prefix", ["", "customers", "pool"])
def test_a_prefix_that_is_not_ours_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(ValueError, match="only tables of a run of our own"):
        drop_tables(f"sqlite+aiosqlite:///{tmp_path}/own.db", prefix)


def test_every_run_on_a_users_database_has_a_prefix_of_its_own(fresh_database: FreshDatabase) -> None:
    url = fresh_database.url()
    with own_database(url) as first, own_database(url) as second:
        assert first.prefix != second.prefix
        assert first.environment == {"ORDERS_TABLE_PREFIX": first.prefix}


def test_no_password_is_shown(fresh_database: FreshDatabase) -> None:
    with_password = fresh_database.url().replace("postgres@", "postgres:hush4711@")
    with own_database(with_password) as place:
        assert "hush4711" not in place.shown + repr(place)
        assert "hush4711" in place.url


@pytest.mark.slow
def test_a_users_database_that_does_not_answer_is_said_at_once(free_tcp_port: int) -> None:
    with pytest.raises(ConnectFailed), own_database(f"postgresql+asyncpg://me@127.0.0.1:{free_tcp_port}/shop"):
        pass


def test_tables_that_could_not_be_dropped_are_named(tmp_path: Path) -> None:
    (tmp_path / "own.db").write_text("no database, and long enough to be seen as none" * 3)
    with pytest.raises(TablesLeft, match=r"poolkeeper_demo_ab12cd_\*"):
        drop_tables(f"sqlite+aiosqlite:///{tmp_path}/own.db", "poolkeeper_demo_ab12cd_")


def test_places_of_our_own_are_gone_afterwards() -> None:
    with sqlite_file() as file, embedded_postgres("psycopg") as server:
        assert (file.kind, server.kind) == ("sqlite", "postgresql")
        assert server.version.startswith("18")
        folders = [file.folder, server.folder]
        assert all(folder.is_dir() for folder in folders)
    assert not any(folder.exists() for folder in folders)
