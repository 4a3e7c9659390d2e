"""A MariaDB and its replica: who wrote reads what it wrote, by GTID, and a replica that is behind gets no reads."""

import asyncio
import time
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.mariadb_pairs import MariaDBPair
from tests.replicas.clusters import states
from tests.service.served import serve, wait_until

from poolkeeper import Database, Position
from poolkeeper.fastapi import Keeper

HOST = text("SELECT @@port")
INSERT = text("INSERT INTO note VALUES ()")
COUNT = text("SELECT count(*) FROM note")


@pytest.fixture(params=["aiomysql", pytest.param("asyncmy", marks=pytest.mark.slow)])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def write(database: Database) -> int:
    """The port of the server that took it."""
    async with database.session() as session:
        await session.execute(INSERT)
        return int(await session.scalar(HOST))


async def read(database: Database, after: Position | None = None) -> tuple[int, int]:
    """How many notes there are, and where that was read."""
    async with database.read_session(after=after) as session:
        return await session.scalar(COUNT) or 0, int(await session.scalar(HOST))


async def come_to(database: Database, standing: str, seconds: float = 20.0) -> None:
    began = time.monotonic()
    while states(database) != {"replica-1": standing}:
        assert time.monotonic() - began < seconds, states(database)
        await asyncio.sleep(0.01)


def test_a_task_reads_what_it_wrote_on_the_replica(mariadb_pair: MariaDBPair, driver: str) -> None:
    async def scenario() -> None:
        async with mariadb_pair.database(driver, max_lag=60, replica_wait=10) as database:
            assert states(database) == {"replica-1": "ready"}
            for number in range(1, 11):
                assert await write(database) == mariadb_pair.primary.port
                assert await read(database) == (number, mariadb_pair.replica.port)
            (replica,) = database.replicas
            assert (replica.role, replica.lag) == ("replica", 0)

    asyncio.run(scenario())


def test_while_the_replica_stands_still_the_primary_shows_it(mariadb_pair: MariaDBPair, driver: str) -> None:
    async def scenario() -> None:
        async with mariadb_pair.database(driver, max_lag=60, replica_wait=0.2) as database:
            await asyncio.to_thread(mariadb_pair.replica.execute, "STOP SLAVE SQL_THREAD")
            await write(database)
            assert await read(database) == (1, mariadb_pair.primary.port)
            # One that stopped and lacks something is out of the rotation long before max_lag.
            await come_to(database, "lagging")
            other = asyncio.create_task(read(database))
            assert (await other)[1] == mariadb_pair.primary.port
            assert [finding.code for finding in database.explaining.findings()] == ["no-replica-healthy", "replica-lag"]
            await asyncio.to_thread(mariadb_pair.replica.execute, "START SLAVE SQL_THREAD")
            await come_to(database, "ready")
            assert await read(database) == (1, mariadb_pair.replica.port)

    asyncio.run(scenario())


def test_a_replica_that_stopped_and_lacks_nothing_still_serves(mariadb_pair: MariaDBPair) -> None:
    async def scenario() -> None:
        async with mariadb_pair.database(max_lag=1) as database:
            await asyncio.to_thread(mariadb_pair.replica.execute, "STOP SLAVE")
            await asyncio.sleep(0.5)
            assert await read(database) == (0, mariadb_pair.replica.port)

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_delayed_replica_leaves_the_rotation_and_comes_back(mariadb_pair: MariaDBPair, driver: str) -> None:
    mariadb_pair.replica.execute("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 3; START SLAVE")

    async def scenario() -> None:
        async with mariadb_pair.database(driver, max_lag=1, replica_wait=0.1) as database:
            assert states(database) == {"replica-1": "ready"}
            await asyncio.to_thread(mariadb_pair.primary.execute, "INSERT INTO notes.note VALUES ()")
            # Whoever wrote nothing may read there, and sees less.
            assert await read(database) == (0, mariadb_pair.replica.port)
            await come_to(database, "lagging")
            (replica,) = database.replicas
            assert replica.lag is not None
            assert replica.lag > 1
            await come_to(database, "ready")
            assert await read(database) == (1, mariadb_pair.replica.port)

    asyncio.run(scenario())


def test_a_position_is_carried_to_another_process_as_text(mariadb_pair: MariaDBPair) -> None:
    mariadb_pair.replica.execute("STOP SLAVE SQL_THREAD")

    async def writer() -> str:
        async with mariadb_pair.database(max_lag=60) as database:
            await write(database)
            return str(await database.position())

    async def reader(text: str) -> None:
        position = Position.parse(text)
        assert position.until is None
        async with mariadb_pair.database(max_lag=60, replica_wait=10) as database:
            assert await read(database, position) == (1, mariadb_pair.primary.port)
            await asyncio.to_thread(mariadb_pair.replica.execute, "START SLAVE SQL_THREAD")
            await come_to(database, "ready")
            assert await read(database, position) == (1, mariadb_pair.replica.port)

    asyncio.run(reader(asyncio.run(writer())))


@pytest.mark.slow
def test_a_replica_that_follows_by_file_and_offset_tells_gtids_too(mariadb_pair: MariaDBPair) -> None:
    mariadb_pair.replica.execute("STOP SLAVE; CHANGE MASTER TO MASTER_USE_GTID = no; START SLAVE")

    async def scenario() -> None:
        async with mariadb_pair.database(max_lag=60, replica_wait=10) as database:
            for number in range(1, 4):
                await write(database)
                assert await read(database) == (number, mariadb_pair.replica.port)

    asyncio.run(scenario())


@pytest.mark.slow
def test_domains_are_followed_apart(mariadb_pair: MariaDBPair) -> None:
    """Transactions of another domain are no sign of those of the first."""

    async def scenario() -> None:
        async with mariadb_pair.database(max_lag=60, replica_wait=10) as database:
            await write(database)
            elsewhere = "SET gtid_domain_id = 7; INSERT INTO notes.note VALUES (); INSERT INTO notes.note VALUES ()"
            await asyncio.to_thread(mariadb_pair.primary.execute, elsewhere)
            position = await database.position()
            assert position.log is not None
            assert sorted(position.log.logs) == ["0", "7"]
            assert await read(database, position) == (3, mariadb_pair.replica.port)

    asyncio.run(scenario())


@pytest.mark.slow
def test_threads_read_what_they_wrote(mariadb_pair: MariaDBPair) -> None:
    def in_thread(database: Database) -> list[tuple[int | None, int | None]]:
        found = []
        for _ in range(3):
            with database.sync_session() as session:
                session.execute(INSERT)
            with database.sync_read_session() as session:
                found.append((session.scalar(COUNT), session.scalar(HOST)))
        return found

    async def scenario() -> None:
        async with mariadb_pair.database("pymysql", max_lag=60, replica_wait=10) as database:
            where = mariadb_pair.replica.port
            assert await asyncio.to_thread(in_thread, database) == [(1, where), (2, where), (3, where)]

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_client_brings_it_back_in_a_cookie(mariadb_pair: MariaDBPair, driver: str) -> None:
    database = mariadb_pair.database(driver, max_lag=60, replica_wait=10, signing_key="correct horse battery staple")
    with serve(app_on(database)) as served, httpx.Client(base_url=served.url) as client:
        mariadb_pair.replica.execute("STOP SLAVE SQL_THREAD")
        client.post("/notes")
        assert client.get("/notes").json() == [1, mariadb_pair.primary.port]
        mariadb_pair.replica.execute("START SLAVE SQL_THREAD")
        mariadb_pair.catch_up()
        wait_until(lambda: client.get("/notes").json() == [1, mariadb_pair.replica.port])


def app_on(database: Database) -> FastAPI:
    keeper = Keeper(database, page=None, metrics=None, read_your_writes="cookie")
    app = FastAPI()

    @app.post("/notes")
    async def add(session: Annotated[AsyncSession, keeper.write]) -> str:
        await session.execute(INSERT)
        return "made"

    @app.get("/notes")
    async def count(session: Annotated[AsyncSession, keeper.read]) -> list[int]:
        return [await session.scalar(COUNT) or 0, int(await session.scalar(HOST))]

    keeper.install(app)
    return app
