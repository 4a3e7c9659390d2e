"""Databases that the tests of this folder share: hundreds of short tests would mostly wait for their own ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, make_url
from tests.database.stores import TABLE
from tests.servers import MariaDB

from poolkeeper.testing import EmbeddedPostgres

_OTHERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}
_END = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


class SharedDatabase:
    """A database with the table `note`, seen through one connection that the tests do not count."""

    def __init__(self, url: str, urls: Any) -> None:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        # Outside of any pool, or it would appear in the pools' log.
        self._connection = engine.raw_connection()
        self._connection.detach()
        self._kind = engine.dialect.name
        self.url = urls
        self.query(TABLE)

    def query(self, sql: str) -> list[Any]:
        cursor = self._connection.cursor()
        cursor.execute(sql)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return rows

    def connections(self) -> list[int]:
        """Server-side numbers of the sessions that tests have open."""
        return [row[0] for row in self.query(_OTHERS[self._kind])]

    def end(self, *numbers: int) -> None:
        """End these sessions; returns when they are gone."""
        for number in numbers:
            self.query(_END[self._kind].format(number))
        self.wait_for(lambda left: not set(left) & set(numbers))

    def wait_for(self, is_so: Any, seconds: float = 3) -> list[int]:
        """The sessions, once it is so; a close reaches the server a moment later."""
        deadline = time.monotonic() + seconds
        while not is_so(left := self.connections()) and time.monotonic() < deadline:
            time.sleep(0.002)
        return left

    def close(self) -> None:
        self._connection.close()


@contextmanager
def shared_postgres(server: EmbeddedPostgres) -> Iterator[SharedDatabase]:
    server.execute("CREATE DATABASE stock_behaviour")
    database = SharedDatabase(
        server.url("psycopg", database="stock_behaviour"), lambda driver: server.url(driver, database="stock_behaviour")
    )
    yield database
    database.close()
    server.execute("DROP DATABASE stock_behaviour WITH (FORCE)")


@contextmanager
def shared_mariadb(server: MariaDB) -> Iterator[SharedDatabase]:
    server.execute("CREATE DATABASE stock_behaviour")
    database = SharedDatabase(
        make_url(server.url(database="stock_behaviour")).set(drivername="mysql+pymysql").render_as_string(False),
        lambda driver: server.url(driver, "stock_behaviour"),
    )
    yield database
    database.close()
    server.execute("DROP DATABASE stock_behaviour")
