"""One decision for each session: a healthy replica for reading, the primary for writing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import exc, text
from tests.replicas.clusters import COUNT, INSERT, Cluster, host_of, states, sync_host_of
from tests.service.served import wait_until

from poolkeeper import Database, DatabaseSettings, ReadOnlySession, Replica, SettingsRefused

MakeDatabase = Callable[..., Database]


def test_reads_go_to_replicas_and_writes_to_the_primary(cluster: Cluster, make_database: MakeDatabase) -> None:
    async def scenario() -> None:
        async with make_database() as database:
            assert states(database) == {"replica-1": "ready", "replica-2": "ready"}
            async with database.session() as session:
                assert await host_of(session) == cluster.primary.port
            for _ in range(4):
                async with database.read_session() as session:
                    first = await host_of(session)
                    assert first in {cluster.one.port, cluster.two.port}
                    assert {await host_of(session) for _ in range(3)} == {first}
            assert [replica.sessions for replica in database.replicas] == [0, 0]

    asyncio.run(scenario())


def test_open_sessions_are_spread_by_load_and_weight(cluster: Cluster) -> None:
    async def scenario() -> None:
        replicas = [Replica(cluster.one.url(), weight=2, name="big"), Replica(cluster.two.url(), pool_size=3)]
        async with cluster.database(replicas=replicas) as database, AsyncExitStack() as stack:
            hosts = Counter[int]()
            for _ in range(6):
                session = await stack.enter_async_context(database.read_session())
                hosts[await host_of(session)] += 1
            assert hosts == {cluster.one.port: 4, cluster.two.port: 2}
            assert [(each.name, each.sessions, each.pool.capacity) for each in database.replicas] == [
                ("big", 4, 5),
                ("replica-2", 2, 3),
            ]

    asyncio.run(scenario())


def test_a_session_that_asks_nothing_takes_no_connection_and_no_place(make_database: MakeDatabase) -> None:
    async def scenario() -> None:
        async with make_database() as database, database.read_session():
            assert [(each.sessions, each.pool.in_use) for each in database.replicas] == [(0, 0), (0, 0)]

    asyncio.run(scenario())


def test_before_the_start_every_read_is_the_primarys(cluster: Cluster, make_database: MakeDatabase) -> None:
    async def scenario() -> None:
        database = make_database(min_idle=0)
        async with database.read_session() as session:
            assert await host_of(session) == cluster.primary.port
        await database.close()

    asyncio.run(scenario())


def test_writes_are_refused_here_and_by_the_replica(make_database: MakeDatabase) -> None:
    async def scenario() -> None:
        async with make_database() as database:
            async with database.read_session() as session:
                with pytest.raises(ReadOnlySession):
                    await session.execute(INSERT)
            async with database.read_session() as session:
                with pytest.raises(exc.DBAPIError, match="read-only"):
                    await session.execute(text("SELECT nextval('note_id_seq')"))
                # One function that writes is no reason to doubt the connections of a replica.
                await session.execute(COUNT)
            assert [each.pool.closed for each in database.replicas] == [{}, {}]

    asyncio.run(scenario())


def test_threads_read_from_replicas_too(cluster: Cluster) -> None:
    async def scenario() -> None:
        database = cluster.database("psycopg")
        database.expect("sync")
        async with database:
            assert await asyncio.to_thread(in_thread, database) == [1, 2]
            # On the event loop's own thread nobody can wait for a replica.
            with database.sync_session() as session:
                session.execute(INSERT)
            with database.sync_read_session() as session:
                assert sync_host_of(session) == cluster.primary.port

    def in_thread(database: Database) -> list[int]:
        counts = []
        for _ in range(2):
            with database.sync_session() as session:
                session.execute(INSERT)
            with database.sync_read_session() as session:
                counts.append(session.scalar(COUNT) or 0)
        with database.sync_read_session() as session:
            assert sync_host_of(session) != cluster.primary.port
        return counts

    asyncio.run(scenario())


def test_without_a_healthy_replica_reads_go_to_the_primary_and_a_finding_says_so(cluster: Cluster) -> None:
    async def scenario() -> None:
        # A primary is not a replica, and nobody listens at the other.
        nobody = cluster.one.url().replace(str(cluster.one.port), "1")
        async with cluster.database(replicas=[cluster.primary.url(), nobody]) as database:
            assert states(database) == {"replica-1": "not-a-replica", "replica-2": "unreachable"}
            async with database.read_session() as session:
                assert await host_of(session) == cluster.primary.port
            codes = [finding.code for finding in (await database.explain()).findings]
            assert codes == ["no-replica-healthy", "replica-promoted", "replica-unreachable"]

    asyncio.run(scenario())


def test_settings_of_a_replica_are_refused_with_the_replica_named(cluster: Cluster) -> None:
    with pytest.raises(SettingsRefused, match=r"replica_urls\.1: pool_size"):
        cluster.database(replicas=[cluster.one.url(), Replica(cluster.two.url(), pool_size=0)])
    with pytest.raises(ValueError, match="same name"):
        cluster.database(replicas=[Replica(cluster.one.url(), name="r"), Replica(cluster.two.url(), name="r")])
    with pytest.raises(ValueError, match="more than 0"):
        Replica(cluster.one.url(), weight=0)


def test_weights_come_from_the_settings_too(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_REPLICA_URLS", ",".join(replica.url() for replica in cluster.replicas))
    monkeypatch.setenv("DATABASE_REPLICA_WEIGHTS", "2,0.5")

    def weights(*given: str | Replica) -> list[float]:
        return [replica.weight for replica in Database(cluster.primary.url(), replicas=given).replicas]

    assert weights() == [2, 0.5]
    assert weights(cluster.two.url(), Replica(cluster.one.url(), weight=7)) == [2, 7]
    settings = DatabaseSettings(cluster.primary.url())
    assert [replica.weight for replica in Database(settings, replicas=[cluster.one.url()] * 2).replicas] == [2, 0.5]
    with pytest.raises(SettingsRefused, match="2 weights for 1 replicas"):
        weights(cluster.one.url())


def test_started_again_it_routes_again(cluster: Cluster, make_database: MakeDatabase) -> None:
    database = make_database()

    async def scenario() -> None:
        async with database, database.read_session() as session:
            assert await host_of(session) != cluster.primary.port

    asyncio.run(scenario())
    assert states(database) == {"replica-1": "unknown", "replica-2": "unknown"}
    asyncio.run(scenario())
    for server in (cluster.primary, *cluster.replicas):
        wait_until(lambda server=server: server.activity() == [])  # type: ignore[misc]
