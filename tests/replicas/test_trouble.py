"""Replicas that fall behind, die, come back, cancel reads and are promoted, under traffic."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import exc, text
from tests.replicas.clusters import COUNT, Cluster, host_of, states

from poolkeeper import Database

MakeDatabase = Callable[..., Database]


async def come_to(database: Database, expected: dict[str, str], seconds: float = 15.0) -> float:
    """The seconds until the replicas stand so."""
    began = time.monotonic()
    while states(database) != expected:
        assert time.monotonic() - began < seconds, states(database)
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def states_while_paused(cluster: Cluster, database: Database) -> dict[str, str]:
    """How the replicas stand after a second in which `one` is paused and has nothing to replay; it stays paused."""
    for _ in range(5):
        await asyncio.to_thread(cluster.one.pause_replay)
        await asyncio.sleep(1.0)
        found = states(database)
        if await asyncio.to_thread(cluster.has_replayed_all, cluster.one):
            return found
        # The primary logs by itself, every 15 s after somebody wrote, which transactions are open (bgwriter.c).
        await asyncio.to_thread(cluster.one.resume_replay)
        await come_to(database, {"replica-1": "ready", "replica-2": "ready"})
    pytest.fail("the primary wrote in each of the seconds")


@pytest.mark.slow
def test_a_replica_that_lags_leaves_and_comes_back(cluster: Cluster, make_database: MakeDatabase) -> None:
    async def scenario() -> None:
        async with make_database(max_lag=0.5) as database:
            assert await states_while_paused(cluster, database) == {"replica-1": "ready", "replica-2": "ready"}
            await asyncio.to_thread(cluster.primary.execute, "INSERT INTO note (body) VALUES ('')")
            await come_to(database, {"replica-1": "lagging", "replica-2": "ready"})
            lagging, _ = database.replicas
            assert lagging.lag is not None
            assert lagging.lag > 0.5
            assert lagging.lag_bytes
            for _ in range(4):
                async with database.read_session() as session:
                    assert await host_of(session) == cluster.two.port
            assert [finding.code for finding in database.explaining.findings()] == ["replica-lag"]
            await asyncio.to_thread(cluster.one.resume_replay)
            await come_to(database, {"replica-1": "ready", "replica-2": "ready"})

    asyncio.run(scenario())


@pytest.mark.slow
def test_bytes_are_lag_too(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with cluster.database(max_lag=60, max_lag_bytes=100_000) as database:
            await asyncio.to_thread(cluster.one.pause_replay)
            fill = "INSERT INTO note (body) SELECT repeat('x', 100) FROM generate_series(1, 5000)"
            await asyncio.to_thread(cluster.primary.execute, fill)
            await come_to(database, {"replica-1": "lagging", "replica-2": "ready"})

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_replica_killed_in_traffic_fails_no_read_and_comes_back(
    cluster: Cluster, make_database: MakeDatabase
) -> None:
    async def scenario() -> None:
        async with make_database() as database:
            read, slowest, end = Counter[int](), 0.0, time.monotonic() + 4

            async def client() -> None:
                nonlocal slowest
                while time.monotonic() < end:
                    began = time.monotonic()
                    async with database.read_session() as session:
                        read[await host_of(session)] += 1
                    slowest = max(slowest, time.monotonic() - began)

            async def kill() -> None:
                await asyncio.sleep(0.5)
                await asyncio.to_thread(cluster.two.kill)
                await come_to(database, {"replica-1": "ready", "replica-2": "unreachable"})
                await asyncio.sleep(0.5)
                await asyncio.to_thread(cluster.two.start)
                await come_to(database, {"replica-1": "ready", "replica-2": "ready"})

            # A read that fails ends the group, and the test.
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(client())
                group.create_task(kill())
            moved = sum(replica.moved for replica in database.replicas)
            print(f"{read.total()} reads, 0 failed, {moved} moved, slowest {slowest * 1000:.0f} ms")
            assert moved
            assert set(read) <= {cluster.one.port, cluster.two.port, cluster.primary.port}
            # Below pool_timeout, which who waits for a dead replica would use up.
            assert slowest < 8

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_read_that_a_replica_cancels_is_done_by_the_primary(cluster: Cluster, make_database: MakeDatabase) -> None:
    cluster.primary.execute("INSERT INTO note (body) SELECT 'x' FROM generate_series(1, 1000)")
    cluster.catch_up()
    slow = text("SELECT count(*), max(pg_sleep(0.002)::text), current_setting('port')::int FROM note")

    async def scenario() -> None:
        async with make_database() as database:

            async def one_read() -> tuple[int, int]:
                async with database.read_session() as session:
                    row = (await session.execute(slow)).one()
                    return row[0], row[2]

            reading = [asyncio.create_task(one_read()) for _ in range(2)]
            await asyncio.sleep(0.5)
            # The replicas have to take away rows that the reads still look at.
            await asyncio.to_thread(cluster.primary.execute, "DELETE FROM note")
            await asyncio.to_thread(cluster.primary.query, "VACUUM note")
            answers = await asyncio.gather(*reading)
            # Nothing had been returned, so each is of one moment: the primary's, by then.
            assert answers == [(0, cluster.primary.port)] * 2
            assert [replica.conflicts for replica in database.replicas] == [1, 1]
            codes = {finding.code for finding in database.explaining.findings()}
            assert codes == {"replica-conflicts"}

    asyncio.run(scenario())


@pytest.mark.slow
def test_what_has_returned_something_is_not_begun_anew_elsewhere(cluster: Cluster, make_database: MakeDatabase) -> None:
    async def scenario() -> None:
        async with make_database() as database:
            async with database.read_session() as session:
                host = await host_of(session)
                server = cluster.one if host == cluster.one.port else cluster.two
                await asyncio.to_thread(server.terminate_backends, "state = 'idle'")
                with pytest.raises(exc.DBAPIError):
                    await session.execute(COUNT)
            async with database.read_session() as session:
                assert await session.scalar(COUNT) == 0

    asyncio.run(scenario())
