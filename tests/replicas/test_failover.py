"""The primary is killed or demoted and a replica promoted, under traffic."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import exc
from tests.replicas.clusters import INSERT, Cluster, befall, demote, host_of, own_cluster, sync_host_of

from poolkeeper import Database
from poolkeeper.testing import FaultProxy

WRITERS, READERS, POOL = 8, 4, 5
PAUSE = 0.01

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_cluster() as cluster:
        yield cluster


@dataclass
class Traffic:
    """Writers and readers, and what became of each request. Times are seconds on the monotonic clock."""

    database: Database
    written: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    read: Counter[int] = field(default_factory=Counter[int])
    failed_writes: list[tuple[float, Exception]] = field(default_factory=list[tuple[float, Exception]])
    failed_reads: list[Exception] = field(default_factory=list[Exception])
    ended: bool = False

    async def run(self, during: Callable[[], object], *, after: float = 2.0) -> None:
        """Traffic while `during` runs in a thread, and for so many seconds before and after."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._writer())
            for _ in range(READERS):
                group.create_task(self._reader())
            await asyncio.sleep(0.5)
            await asyncio.to_thread(during)
            await asyncio.sleep(after)
            self.ended = True

    def first_on(self, port: int) -> float:
        """When the first write was committed there."""
        return min(at for at, where in self.written if where == port)

    async def _writer(self) -> None:
        while not self.ended:
            try:
                async with self.database.session() as session:
                    await session.execute(INSERT)
                    port = await host_of(session)
            except exc.SQLAlchemyError as error:
                self.failed_writes.append((time.monotonic(), error))
            else:
                self.written.append((time.monotonic(), port))
            await asyncio.sleep(PAUSE)

    async def _reader(self) -> None:
        while not self.ended:
            try:
                async with self.database.read_session() as session:
                    self.read[await host_of(session)] += 1
            except exc.SQLAlchemyError as error:
                self.failed_reads.append(error)
            await asyncio.sleep(PAUSE)


def tell(traffic: Traffic, promoted: int, at: float) -> None:
    kinds = Counter(f"{type(error).__name__}: {str(error)[:90]}" for _, error in traffic.failed_writes)
    print(
        f"{len(traffic.written)} writes, {len(traffic.failed_writes)} failed {dict(kinds)}; "
        f"{traffic.read.total()} reads, {len(traffic.failed_reads)} failed; first write on the new primary "
        f"{traffic.first_on(promoted) - at:+.2f} s after the promotion"
    )


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
            traffic = Traffic(database)
            await traffic.run(switch)
            tell(traffic, cluster.one.port, times[0])
            assert database.primary == "replica-1"
            assert traffic.first_on(cluster.one.port) - times[0] < 10
            assert len(traffic.failed_writes) <= WRITERS + POOL
            assert not traffic.failed_reads
            assert traffic.written[-1][1] == cluster.one.port
            # What looks past the pool finds the new primary too.
            assert await database.probe() < 1

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
            traffic = Traffic(database)
            await traffic.run(switch)
            tell(traffic, cluster.one.port, times[0])
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
        if with_replicas:
            database = cluster.database()
        else:
            database = Database(multi_host(cluster, "asyncpg", "libpq"), pool_size=POOL, max_overflow=0)
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
            time.sleep(max(0.0, began + 5 - time.monotonic()))
            times.append(time.monotonic())
            cluster.one.promote()
            asyncio.run_coroutine_threadsafe(acting(database.resume), loop).result()

        async with database:
            traffic = Traffic(database)
            await traffic.run(switch)
            tell(traffic, cluster.one.port, times[0])
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
            traffic = Traffic(database)
            began = time.monotonic()
            await traffic.run(switch)
            tell(traffic, cluster.one.port, began)
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
                traffic = Traffic(database)
                await traffic.run(switch, after=6)
                tell(traffic, cluster.one.port, times[0])
                assert traffic.first_on(cluster.one.port) - times[0] < 10
                assert len(traffic.failed_writes) <= WRITERS + POOL
                assert not traffic.failed_reads

    asyncio.run(scenario())
