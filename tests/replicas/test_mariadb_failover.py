"""A MariaDB's replica takes the primary's place, under traffic, and only when it was promoted to do so."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import exc, text
from tests.mariadb_pairs import MariaDBPair
from tests.replicas.traffic import PAUSE, POOL, WRITERS, Traffic

from poolkeeper import Database

HOST = text("SELECT @@port")
INSERT = text("INSERT INTO note VALUES ()")

pytestmark = pytest.mark.slow


async def write(database: Database) -> int:
    async with database.session() as session:
        await session.execute(INSERT)
        return int(await session.scalar(HOST))


async def written_at_last(database: Database) -> int:
    """The same, again and again until one is taken."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await write(database)
            except exc.SQLAlchemyError:
                await asyncio.sleep(PAUSE)


async def primary_becomes(database: Database, name: str) -> None:
    async with asyncio.timeout(20):
        while database.primary != name:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


def demote(pair: MariaDBPair) -> None:
    pair.primary.execute("SET GLOBAL read_only = 1")


@pytest.mark.parametrize(("end", "driver"), [("demote", "aiomysql"), ("kill", "aiomysql"), ("demote", "asyncmy")])
def test_writes_follow_the_primary(own_pair: MariaDBPair, end: str, driver: str) -> None:
    times: list[float] = []

    def switch() -> None:
        if end == "kill":
            own_pair.primary.kill()
        else:
            demote(own_pair)
            own_pair.catch_up()
        time.sleep(0.5)
        times.append(time.monotonic())
        own_pair.promote()

    async def scenario() -> None:
        async with own_pair.database(driver, pool_size=POOL, max_overflow=0) as database:
            traffic = Traffic(database, INSERT, HOST)
            await traffic.run(switch)
            traffic.tell(own_pair.replica.port, times[0])
            assert database.primary == "replica-1"
            assert traffic.first_on(own_pair.replica.port) - times[0] < 10
            assert len(traffic.failed_writes) <= WRITERS + POOL
            assert not traffic.failed_reads
            assert traffic.written[-1][1] == own_pair.replica.port
            assert await database.probe() < 5

    asyncio.run(scenario())


def test_who_was_not_promoted_gets_no_writes(own_pair: MariaDBPair) -> None:
    """A primary that takes no writes for a while, and beside it a copy that follows nobody and would take them."""
    own_pair.replica.execute("SET GLOBAL read_only = 0; STOP SLAVE; RESET SLAVE ALL")

    async def scenario() -> None:
        settings = {"max_lag": 0.4, "connect_grace": 0.5, "pool_timeout": 1}
        async with own_pair.database(**settings) as database:
            assert [str(replica.standing) for replica in database.replicas] == ["not-a-replica"]
            assert await write(database) == own_pair.primary.port
            await asyncio.to_thread(demote, own_pair)
            with pytest.raises(exc.DBAPIError, match="read-only"):
                await write(database)
            await asyncio.sleep(1)
            assert database.primary == "primary"
            await asyncio.to_thread(own_pair.primary.execute, "SET GLOBAL read_only = 0")
            await asyncio.to_thread(own_pair.primary.kill)
            await asyncio.sleep(2)
            assert database.primary == "primary"
            await asyncio.to_thread(own_pair.primary.start)
            assert await written_at_last(database) == own_pair.primary.port

    asyncio.run(scenario())


def test_a_process_that_starts_later_asks_the_old_primary_whom_it_follows(own_pair: MariaDBPair) -> None:
    demote(own_pair)
    own_pair.catch_up()
    own_pair.promote()

    async def scenario() -> None:
        async with own_pair.database() as database:
            assert database.primary == "primary"
            await asyncio.to_thread(own_pair.turn_round)
            await primary_becomes(database, "replica-1")
            assert await write(database) == own_pair.replica.port
        # And back again, in the way that operators switch.
        async with own_pair.database() as database:
            await primary_becomes(database, "replica-1")
            own_pair.replica.execute("SET GLOBAL read_only = 1")
            [(position,)] = own_pair.replica.query("SELECT @@gtid_binlog_pos")
            assert own_pair.primary.query(f"SELECT MASTER_GTID_WAIT('{position}', 30)") == [("0",)]
            own_pair.primary.execute("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0")
            await primary_becomes(database, "primary")
            assert await write(database) == own_pair.primary.port

    asyncio.run(scenario())


def test_threads_follow_the_primary(own_pair: MariaDBPair) -> None:
    def sync_write(database: Database) -> int:
        with database.sync_session() as session:
            session.execute(INSERT)
            return int(session.scalar(HOST) or 0)

    async def scenario() -> None:
        async with own_pair.database("pymysql") as database:
            assert await asyncio.to_thread(sync_write, database) == own_pair.primary.port
            demote(own_pair)
            own_pair.promote()
            began, failed, port = time.monotonic(), 0, 0
            while port != own_pair.replica.port:
                assert time.monotonic() - began < 10
                try:
                    port = await asyncio.to_thread(sync_write, database)
                except exc.SQLAlchemyError:
                    failed += 1
            assert failed <= 2

    asyncio.run(scenario())
