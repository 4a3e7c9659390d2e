from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.servers import FreshDatabase

from poolkeeper import Database

TABLES = """
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child (parent_id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE note (id int PRIMARY KEY, body text NOT NULL DEFAULT '');
"""


@pytest.fixture(params=["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tables(fresh_database: FreshDatabase) -> FreshDatabase:
    fresh_database.execute(TABLES)
    return fresh_database


@pytest.fixture
def make_database(tables: FreshDatabase, driver: str) -> Callable[..., Database]:
    def make(**settings: object) -> Database:
        return Database(tables.url(driver), **{"min_idle": 0, **settings})  # type: ignore[arg-type]

    return make
