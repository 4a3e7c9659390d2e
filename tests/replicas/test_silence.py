"""Hosts whose packets are lost: who waits for their answers is cut off long before `command_timeout`."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.replicas.clusters import HOST, INSERT, Cluster, host_of

from poolkeeper import Database
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.slow
SLOW = text("SELECT current_setting('port')::int, pg_sleep(1)")
# Looks every 0.25 s, which have 0.25 s to be answered; the shortest way to an answer without them takes 20 s.
SETTINGS = {"max_lag": 1, "health_timeout": 0.25, "statement_timeout": 15, "command_timeout": 20}
# Far below that, far above what two looks take.
SOON = 10


async def slow_host_of(session: AsyncSession) -> int:
    return int((await session.execute(SLOW)).one()[0])


@pytest.mark.parametrize("silent", ["replica", "primary"])
def test_what_a_silent_host_was_asked_is_cut_off(cluster: Cluster, driver: str, silent: str) -> None:
    async def scenario() -> None:
        server = cluster.one if silent == "replica" else cluster.primary
        with FaultProxy(server.host, server.port) as proxy:
            through = proxy.url(server.url(driver))
            primary = cluster.primary.url(driver) if silent == "replica" else through
            replica = through if silent == "replica" else cluster.one.url(driver)
            async with Database(primary, replicas=[replica], pool_size=5, **SETTINGS) as database:
                await (replica_falls_silent if silent == "replica" else primary_falls_silent)(database, proxy)

    async def replica_falls_silent(database: Database, proxy: FaultProxy) -> None:
        async with database.read_session() as begun:
            assert await host_of(begun) == cluster.one.port
            reading = asyncio.create_task(read(database))
            await asyncio.sleep(0.3)
            proxy.drop()
            began = time.monotonic()
            # It had returned nothing: it is done elsewhere.
            assert await reading == cluster.primary.port
            with pytest.raises(exc.DBAPIError):
                await begun.execute(HOST)
            print(f"{time.monotonic() - began:.1f} s")
            assert time.monotonic() - began < SOON

    async def primary_falls_silent(database: Database, proxy: FaultProxy) -> None:
        async with asyncio.TaskGroup() as group:
            writing = [group.create_task(failing_write(database)) for _ in range(3)]
            await asyncio.sleep(0.3)
            proxy.drop()
        took = [task.result() for task in writing]
        print(took)
        assert max(took) < SOON
        assert database.primary == "primary"
        # With the host back everything is as before.
        proxy.heal()
        async with asyncio.timeout(SOON), database.session() as session:
            await session.execute(INSERT)

    asyncio.run(scenario())


async def read(database: Database) -> int:
    async with database.read_session() as session:
        return await slow_host_of(session)


async def failing_write(database: Database) -> float:
    began = time.monotonic()
    with pytest.raises(exc.DBAPIError):
        async with database.session() as session:
            await slow_host_of(session)
    return time.monotonic() - began


def test_who_still_answers_others_is_only_slow(cluster: Cluster) -> None:
    """No look is answered in time, and a long statement goes on for the time of many looks."""

    async def scenario() -> None:
        settings = {**SETTINGS, "max_lag": 0.4, "health_timeout": 0.0001}
        async with cluster.database(**settings) as database:
            long = asyncio.create_task(write_slowly(database))
            while not long.done():
                async with database.session() as session:
                    await session.execute(HOST)
                await asyncio.sleep(0.01)
            assert await long == cluster.primary.port
            assert {str(replica.standing) for replica in database.replicas} == {"unreachable"}

    asyncio.run(scenario())


async def write_slowly(database: Database) -> int:
    async with database.session() as session:
        return await slow_host_of(session)
