"""The embedded PostgreSQL, as a test uses it."""

from __future__ import annotations


def test_a_fresh_database_is_reached_through_its_url(fresh_database) -> None:
    fresh_database.execute("CREATE TABLE t (x int)")
    assert fresh_database.query("SELECT count(*) FROM t") == [("0",)]
