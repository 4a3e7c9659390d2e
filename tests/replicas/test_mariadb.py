"""A MariaDB that tells no position to ask a replica for: after a write, its caller stays with the primary a while."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from tests.servers import FreshMariaDB

from poolkeeper import Database

BLIND = "blind"
WHERE = text("SELECT database()")
INSERT = text("INSERT INTO note VALUES (1)")


@pytest.fixture
def copy(fresh_mariadb: FreshMariaDB) -> Iterator[FreshMariaDB]:
    """Another database of the same server, which stands for a replica of `fresh_mariadb`.

    The server keeps no log, and its user `blind` may not ask whether it is a replica.
    """
    other = FreshMariaDB(fresh_mariadb.server, f"{fresh_mariadb.name}_copy")
    fresh_mariadb.server.execute(f"CREATE DATABASE {other.name}; CREATE USER {BLIND}@'127.0.0.1'")
    for database in (fresh_mariadb, other):
        fresh_mariadb.server.execute(f"GRANT ALL ON {database.name}.* TO {BLIND}@'127.0.0.1'")
    fresh_mariadb.execute("CREATE TABLE note (id int)")
    try:
        yield other
    finally:
        other.kill_connections()
        fresh_mariadb.server.execute(f"DROP DATABASE {other.name}; DROP USER {BLIND}@'127.0.0.1'")


def url_of(database: FreshMariaDB, driver: str) -> str:
    server = database.server
    return database.url(driver).replace(f"{server.USER}:{server.PASSWORD}@", f"{BLIND}@")


@pytest.mark.parametrize("driver", ["aiomysql", pytest.param("asyncmy", marks=pytest.mark.slow)])
def test_after_a_write_reads_stay_with_the_primary_for_max_lag(
    fresh_mariadb: FreshMariaDB, copy: FreshMariaDB, driver: str
) -> None:
    async def where(database: Database) -> str | None:
        async with database.read_session() as session:
            return await session.scalar(WHERE)

    async def scenario() -> None:
        settings = {"pool_size": 5, "min_idle": 0, "max_lag": 1}
        async with Database(url_of(fresh_mariadb, driver), replicas=[url_of(copy, driver)], **settings) as database:
            assert await where(database) == copy.name
            async with database.session() as session:
                await session.execute(INSERT)
            assert await where(database) == fresh_mariadb.name
            assert await asyncio.create_task(where(database)) == fresh_mariadb.name
            await asyncio.sleep(1.1)
            assert await where(database) == copy.name
            (replica,) = database.replicas
            assert (replica.standing, replica.role, replica.lag) == ("ready", None, None)

    asyncio.run(scenario())


def test_the_same_for_threads(fresh_mariadb: FreshMariaDB, copy: FreshMariaDB) -> None:
    def in_thread(database: Database) -> list[str | None]:
        found = [where(database)]
        with database.sync_session() as session:
            session.execute(INSERT)
        return [*found, where(database)]

    def where(database: Database) -> str | None:
        with database.sync_read_session() as session:
            return session.scalar(WHERE)

    async def scenario() -> None:
        url, replica = url_of(fresh_mariadb, "pymysql"), url_of(copy, "pymysql")
        async with Database(url, replicas=[replica], pool_size=5) as database:
            assert await asyncio.to_thread(in_thread, database) == [copy.name, fresh_mariadb.name]

    asyncio.run(scenario())
