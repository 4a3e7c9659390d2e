"""Who wrote reads what it wrote, whichever replica is behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from tests.replicas.clusters import COUNT, INSERT, Cluster, host_of

from poolkeeper import Database, Position
from poolkeeper.testing.postgres.replica import Replica

MakeDatabase = Callable[..., Database]


async def written(database: Database) -> None:
    async with database.session() as session:
        await session.execute(INSERT)


async def fall_behind(*replicas: Replica) -> None:
    """Pause them, under a database that has looked at them: it knows since when they lack what is written."""
    for replica in replicas:
        await asyncio.to_thread(replica.pause_replay)


async def read(database: Database, after: Position | None = None) -> tuple[int, int]:
    """How many notes there are, and where that was read."""
    async with database.read_session(after=after) as session:
        return await session.scalar(COUNT) or 0, await host_of(session)


def test_a_task_reads_what_it_wrote(cluster: Cluster, make_database: MakeDatabase) -> None:
    async def scenario() -> None:
        async with make_database(max_lag=60, replica_wait=2) as database:
            await fall_behind(cluster.one)
            for number in range(1, 11):
                await written(database)
                count, host = await read(database)
                assert count == number
                assert host == cluster.two.port
            # Others do not wait, and may see less.
            elsewhere = [await asyncio.create_task(read(database)) for _ in range(2)]
            assert {count for count, _ in elsewhere} == {10}

    asyncio.run(scenario())


def test_somebody_who_wrote_nothing_may_read_from_a_replica_that_is_behind(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.database(max_lag=60) as database:
            await fall_behind(cluster.one)
            cluster.primary.execute("INSERT INTO note (body) VALUES ('')")
            await asyncio.to_thread(cluster.two.catch_up)
            assert sorted([await read(database), await read(database)]) == sorted(
                [(0, cluster.one.port), (1, cluster.two.port)]
            )

    asyncio.run(scenario())


def test_with_every_replica_behind_it_is_the_primary_after_a_short_wait(cluster: Cluster) -> None:
    wait = 0.6

    async def scenario() -> None:
        async with cluster.database(max_lag=60, replica_wait=wait) as database:
            await fall_behind(*cluster.replicas)
            await written(database)
            began = time.monotonic()
            assert await read(database) == (1, cluster.primary.port)
            assert time.monotonic() - began >= wait
            # What is known to be further behind than the wait is not waited for.
            await asyncio.sleep(0.3)
            began = time.monotonic()
            assert await read(database) == (1, cluster.primary.port)
            assert time.monotonic() - began < wait

    asyncio.run(scenario())


def test_a_commit_in_the_middle_counts_and_a_rollback_does_not(cluster: Cluster, make_database: MakeDatabase) -> None:
    async def scenario() -> None:
        async with make_database(max_lag=60, replica_wait=0) as database:
            await fall_behind(*cluster.replicas)
            async with database.session() as session:
                await session.execute(INSERT)
                await session.rollback()
            assert (await read(database))[1] != cluster.primary.port
            async with database.session() as session:
                async with session.begin_nested():
                    await session.execute(INSERT)
                await session.commit()
                assert await read(database) == (1, cluster.primary.port)

    asyncio.run(scenario())


def test_a_position_is_carried_to_another_process_as_text(cluster: Cluster) -> None:
    async def writer() -> str:
        async with cluster.database(max_lag=60) as database:
            await fall_behind(cluster.one)
            await written(database)
            return str(await database.position())

    async def reader(text: str) -> None:
        async with cluster.database(max_lag=60, replica_wait=2) as database:
            for _ in range(4):
                assert await read(database, Position.parse(text)) == (1, cluster.two.port)

    text = asyncio.run(writer())
    asyncio.run(reader(text))


@pytest.mark.slow
def test_a_primary_that_tells_no_position_keeps_its_readers_for_max_lag(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.database(max_lag=1.5) as database:
            position = Position(until=time.time() + 1.5)
            assert await read(database, position) == (0, cluster.primary.port)
            await asyncio.sleep(1.6)
            assert (await read(database, position))[1] != cluster.primary.port

    asyncio.run(scenario())
