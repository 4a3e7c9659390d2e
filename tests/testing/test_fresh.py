"""A database of its own, and what is left in it."""

from __future__ import annotations

import psycopg
import pytest

from poolkeeper.testing import EmbeddedPostgres, fresh_database


def connected(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""))


def databases(server: EmbeddedPostgres, name: str) -> list[tuple[str | None, ...]]:
    return server.query(f"SELECT datname FROM pg_database WHERE datname = '{name}'")


def test_what_is_left_may_stay_unless_it_is_asked_for(postgres: EmbeddedPostgres) -> None:
    with fresh_database(postgres) as database:
        client = connected(database.url("psycopg"))
    assert databases(postgres, database.name) == []
    client.close()


def test_a_connection_that_is_left_open_is_told(postgres: EmbeddedPostgres) -> None:
    with (
        pytest.raises(AssertionError, match=r"left open.*state='idle'"),
        fresh_database(postgres, may_leave_backends=False) as database,
    ):
        client = connected(database.url("psycopg"))
    assert databases(postgres, database.name) == []
    client.close()


def test_whoever_knows_that_one_is_left_says_so(postgres: EmbeddedPostgres) -> None:
    with fresh_database(postgres, may_leave_backends=False) as database:
        client = connected(database.url("psycopg"))
        database.may_leave_backends = True
    client.close()


def test_an_error_of_the_test_is_not_hidden_by_what_it_left(postgres: EmbeddedPostgres) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        fresh_database(postgres, may_leave_backends=False) as database,
        connected(database.url("psycopg")),
    ):
        1 / 0  # noqa: B018
