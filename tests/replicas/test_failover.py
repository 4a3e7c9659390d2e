"""The primary is killed or demoted and a replica promoted, under traffic."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import exc
from tests.replicas.clusters import HOST, INSERT, Cluster, befall, demote, host_of, own_cluster, sync_host_of
from tests.replicas.traffic import PAUSE, POOL, READERS, WRITERS, Traffic

from poolkeeper import Database
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("end", ["kill", "demote", "standby"])
def test_writes_follow_the_primary(cluster: Cluster, end: str, driver: str) -> None:
    times: list[float] = []

    def switch() -> None:
        befall(cluster.primary, end)
        time.sleep(0.5)
        times.append(time.monotonic())
        cluster.one.promote()

    async def scenario() -> None:
        async with cluster.database(driver) as database:
            traffic = Traffic(database, INSERT, HOST)
            await traffic.run(switch)
            traffic.tell(cluster.one.port, times[0])
            assert database.primary == "replica-1"
            assert traffic.first_on(cluster.one.port) - times[0] < 10
            assert len(traffic.failed_writes) <= WRITERS + POOL
            assert not traffic.failed_reads
            assert traffic.written[-1][1] == cluster.one.port
            # What looks past the pool finds the new primary too.
            assert await database.probe() < 5

    asyncio.run(scenario())


def multi_host(cluster: Cluster, driver: str, form: str) -> str:
    ports = [cluster.primary.port, cluster.one.port]
    if form == "libpq":
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql+{driver}://postgres@{hosts}/postgres?target_session_attrs=primary"
    hosts = "&".join(f"host=127.0.0.1:{port}" for port in ports)
    return f"postgresql+{driver}://postgres@/postgres?{hosts}&target_session_attrs=read-write"


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(("end", "form"), [("kill", "libpq"), ("demote", "libpq"), ("demote", "sqlalchemy")])
def test_a_url_with_several_hosts_is_enough(cluster: Cluster, end: str, form: str, driver: str) -> None:
    times: list[float] = []

    def switch() -> None:
        befall(cluster.primary, end)
        time.sleep(0.5)
        times.append(time.monotonic())
        cluster.one.promote()

    async def scenario() -> None:
        database = Database(multi_host(cluster, driver, form), pool_size=POOL, max_overflow=0, min_idle=1)
        assert not database.settings.findings
        async with database:
            traffic = Traffic(database, INSERT, HOST)
            await traffic.run(switch)
            traffic.tell(cluster.one.port, times[0])
            assert traffic.first_on(cluster.one.port) - times[0] < 10
            assert len(traffic.failed_writes) <= WRITERS + POOL
            assert traffic.written[-1][1] == cluster.one.port
            # Those whose connection broke while they were under way.
            assert len(traffic.failed_reads) <= READERS

    asyncio.run(scenario())


@pytest.mark.parametrize("end", ["stop", "demote"])
@pytest.mark.parametrize("with_replicas", [True, False], ids=["replicas", "several hosts"])
def test_a_planned_switch_fails_nothing(cluster: Cluster, end: str, with_replicas: bool) -> None:
    times: list[float] = []

    async def scenario() -> None:
        # On a busy machine those who wait for the pause's end wait for a connect that takes seconds, too.
        if with_replicas:
            database = cluster.database(pool_timeout=30)
        else:
            url = multi_host(cluster, "asyncpg", "libpq")
            database = Database(url, pool_size=POOL, max_overflow=0, pool_timeout=30)
        loop = asyncio.get_running_loop()

        async def in_use() -> int:
            return database.snapshot().in_use

        async def acting(act: Callable[[], None]) -> None:
            act()

        def switch() -> None:
            asyncio.run_coroutine_threadsafe(acting(database.suspend), loop).result()
            began = time.monotonic()
            while asyncio.run_coroutine_threadsafe(in_use(), loop).result():
                time.sleep(0.01)
            befall(cluster.primary, end)
            time.sleep(max(0.0, began + 3 - time.monotonic()))
            times.append(time.monotonic())
            cluster.one.promote()
            asyncio.run_coroutine_threadsafe(acting(database.resume), loop).result()

        async with database:
            traffic = Traffic(database, INSERT, HOST)
            await traffic.run(switch)
            traffic.tell(cluster.one.port, times[0])
            assert not traffic.failed_writes
            assert not traffic.failed_reads
            assert traffic.written[-1][1] == cluster.one.port

    asyncio.run(scenario())


@pytest.mark.parametrize("end", ["kill", "demote"])
def test_threads_follow_the_primary(cluster: Cluster, end: str) -> None:
    async def scenario() -> None:
        async with cluster.database("psycopg") as database:
            await asyncio.to_thread(sync_write, database)
            befall(cluster.primary, end)
            cluster.one.promote()
            began, failed = time.monotonic(), 0
            while True:
                try:
                    port = await asyncio.to_thread(sync_write, database)
                except exc.SQLAlchemyError:
                    failed += 1
                    await asyncio.sleep(PAUSE)
                else:
                    if port == cluster.one.port:
                        break
            assert time.monotonic() - began < 10
            assert end == "kill" or failed <= 2

    asyncio.run(scenario())


def sync_write(database: Database) -> int:
    with database.sync_session() as session:
        session.execute(INSERT)
        return sync_host_of(session)


def test_a_process_that_starts_later_finds_the_primary_and_follows_it_back(cluster: Cluster) -> None:
    demote(cluster.primary)
    cluster.one.promote()

    async def write(database: Database) -> int:
        async with database.session() as session:
            await session.execute(INSERT)
            return await host_of(session)

    async def scenario() -> None:
        async with cluster.database() as database:
            assert database.primary == "replica-1"
            assert await write(database) == cluster.one.port
            cluster.primary.execute("ALTER SYSTEM RESET default_transaction_read_only")
            cluster.primary.execute("SELECT pg_reload_conf()")
            demote(cluster.one)
            async with asyncio.timeout(10):
                while database.primary != "primary":  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.05)
            assert await write(database) == cluster.primary.port

    asyncio.run(scenario())


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_silent_host_leaves_time_for_the_next(cluster: Cluster, driver: str) -> None:
    async def scenario() -> None:
        with FaultProxy(cluster.primary.host, cluster.primary.port) as proxy:
            proxy.drop()
            ports = f"127.0.0.1:{proxy.port},127.0.0.1:{cluster.primary.port}"
            url = f"postgresql+{driver}://postgres@{ports}/postgres?target_session_attrs=read-write"
            async with Database(url, min_idle=0, connect_timeout=4) as database, database.session() as session:
                assert await host_of(session) == cluster.primary.port

    asyncio.run(scenario())


@pytest.mark.parametrize("query", ["", "?target_session_attrs=read-write"])
def test_an_address_that_changes_behind_its_name(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """The name leads to another host, while the old one goes on answering and takes no writes."""
    lead = {"port": cluster.primary.port}
    resolve = socket.getaddrinfo

    def elsewhere(host: str | None, port: int | None, *args: int, **kwargs: int) -> list[tuple[object, ...]]:
        if host != "primary.test":
            return list(resolve(host, port, *args, **kwargs))
        return list(resolve("127.0.0.1", lead["port"], *args, **kwargs))

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)

    def switch() -> None:
        demote(cluster.primary)
        cluster.one.promote()
        time.sleep(1)
        lead["port"] = cluster.one.port

    async def scenario() -> None:
        url = f"postgresql+asyncpg://postgres@primary.test:5432/postgres{query}"
        async with Database(url, pool_size=POOL, max_overflow=0) as database:
            traffic = Traffic(database, INSERT, HOST)
            began = time.monotonic()
            await traffic.run(switch)
            traffic.tell(cluster.one.port, began)
            assert traffic.written[-1][1] == cluster.one.port
            assert traffic.first_on(cluster.one.port) - began < 10
            assert not traffic.failed_reads
            before = [at for at, where in traffic.written if where == cluster.one.port]
            assert not [at for at, _ in traffic.failed_writes if at > before[0] + 1]
            # They wait for the name instead of failing until it has moved.
            assert len(traffic.failed_writes) <= WRITERS + POOL

    asyncio.run(scenario())


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_primary_that_falls_silent_holds_nobody(cluster: Cluster, driver: str) -> None:
    """Its packets are lost: nothing is refused, and what was under way is never answered."""
    times: list[float] = []

    async def scenario() -> None:
        with FaultProxy(cluster.primary.host, cluster.primary.port) as proxy:
            url = proxy.url(cluster.primary.url(driver))
            replicas = [cluster.one.url(driver), cluster.two.url(driver)]

            def switch() -> None:
                proxy.drop()
                time.sleep(0.5)
                times.append(time.monotonic())
                cluster.one.promote()

            async with Database(url, replicas=replicas, pool_size=POOL, max_overflow=0) as database:
                traffic = Traffic(database, INSERT, HOST)
                await traffic.run(switch)
                traffic.tell(cluster.one.port, times[0])
                assert traffic.first_on(cluster.one.port) - times[0] < 10
                assert len(traffic.failed_writes) <= WRITERS + POOL
                assert not traffic.failed_reads

    asyncio.run(scenario())
