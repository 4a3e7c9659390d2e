"""A password that is asked for at each connect, and changes while the service works."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import make_url, text
from tests.servers import FreshMariaDB

from poolkeeper import ConnectFailed, ConnectFailure, Database
from poolkeeper.pool import KeeperPool, guard_of
from poolkeeper.testing import EmbeddedPostgres

SELECT = text("SELECT 1")
drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


@pytest.fixture(scope="module")
def scram() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(auth="scram-sha-256") as server:
        yield server


class Vault:
    """Holds the password of a role, and changes both: first the role, a moment later what it tells."""

    _numbers = itertools.count(1)

    def __init__(self, execute: Callable[[str], None], *, lag: float = 0.15) -> None:
        self.role = f"service_{next(self._numbers)}"
        self.word = f"first-{secrets.token_hex(4)}"
        self.asked = 0
        self._execute, self._lag = execute, lag

    def rotate(self) -> None:
        word = f"next-{secrets.token_hex(4)}"
        self._execute(f"ALTER {self.kind} {self.role}{self.by} '{word}'")
        time.sleep(self._lag)
        self.word = word

    kind, by = "ROLE", " PASSWORD"

    def tell(self) -> str:
        self.asked += 1
        return self.word

    async def tell_later(self) -> str:
        await asyncio.sleep(0.01)
        return self.tell()


class MariaVault(Vault):
    kind, by = "USER", "@'127.0.0.1' IDENTIFIED BY"


@contextmanager
def vault_of(server: EmbeddedPostgres) -> Iterator[Vault]:
    vault = Vault(server.execute)
    server.execute(f"CREATE ROLE {vault.role} LOGIN PASSWORD '{vault.word}'")
    try:
        yield vault
    finally:
        server.terminate_backends(f"usename = '{vault.role}'")
        server.execute(f"DROP ROLE {vault.role}")


def url_of(server: EmbeddedPostgres, vault: Vault, driver: str) -> str:
    url = make_url(server.url(driver)).set(username=vault.role, password=None)
    return url.render_as_string(hide_password=False)


async def rotated(vault: Vault, renew: Callable[[], Awaitable[None]], served: Callable[[], int]) -> None:
    """New passwords while all connections are replaced before, between and after the two halves of the change.

    Between two of them ten requests are served.
    """
    for _ in range(3):
        rotation = asyncio.create_task(asyncio.to_thread(vault.rotate))
        while not rotation.done():
            await renew()
            await asyncio.sleep(0.05)
        await rotation
        await renew()
        before = served()
        for _ in range(2000):
            if served() >= before + 10:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("nothing is served any more")


async def renewed(database: Database) -> None:
    pool = database.engine.sync_engine.pool
    assert isinstance(pool, KeeperPool)
    pool.renew()


async def served_meanwhile(database: Database, vault: Vault) -> int:
    """How many requests of eight callers were served over the rotations. The first that fails is raised."""
    served, done = 0, asyncio.Event()
    # Only a password that was good once gets grace.
    await database.ping()

    async def caller() -> None:
        nonlocal served
        while not done.is_set():
            async with database.session() as session:
                await session.execute(SELECT)
            served += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(caller())
        await rotated(vault, partial(renewed, database), lambda: served)
        done.set()
    return served


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("driver", "kind"), [("asyncpg", "sync"), pytest.param("psycopg", "async", marks=pytest.mark.slow)]
)
async def test_no_request_fails_while_the_password_changes(scram: EmbeddedPostgres, driver: str, kind: str) -> None:
    with vault_of(scram) as vault:
        password = vault.tell if kind == "sync" else vault.tell_later
        async with Database(url_of(scram, vault, driver), password=password, pool_size=5) as database:
            served = await served_meanwhile(database, vault)
            pool = database.snapshot()
        assert served >= 30
        assert vault.asked >= pool.totals.connects
        assert pool.totals.connects >= 3


@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["aiomysql", pytest.param("asyncmy", marks=pytest.mark.slow)])
async def test_no_request_fails_while_the_password_of_mariadb_changes(fresh_mariadb: FreshMariaDB, driver: str) -> None:
    vault = MariaVault(fresh_mariadb.execute)
    fresh_mariadb.execute(f"CREATE USER {vault.role}@'127.0.0.1' IDENTIFIED BY '{vault.word}'")
    fresh_mariadb.execute(f"GRANT ALL ON {fresh_mariadb.name}.* TO {vault.role}@'127.0.0.1'")
    url = make_url(fresh_mariadb.url(driver)).set(username=vault.role, password="out of date")
    async with Database(url, password=vault.tell_later, pool_size=5) as database:
        assert await served_meanwhile(database, vault) >= 30
    fresh_mariadb.execute(f"DROP USER {vault.role}@'127.0.0.1'")


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [pytest.param("sync", marks=pytest.mark.slow), "async"])
async def test_no_request_of_a_thread_fails_while_the_password_changes(scram: EmbeddedPostgres, kind: str) -> None:
    done = threading.Event()

    served = itertools.count()
    latest = 0

    def caller() -> None:
        nonlocal latest
        while not done.is_set():
            work_once(database)
            latest = next(served)

    with vault_of(scram) as vault, ThreadPoolExecutor(5) as threads:
        password = vault.tell if kind == "sync" else vault.tell_later
        database = Database(url_of(scram, vault, "psycopg"), password=password, pool_size=5)
        await asyncio.to_thread(work_once, database)
        callers = [threads.submit(caller) for _ in range(4)]

        async def renew() -> None:
            watch = guard_of(database.sync_engine)
            assert watch is not None
            watch.renew()

        try:
            await rotated(vault, renew, lambda: latest)
        finally:
            done.set()
        for future in callers:
            future.result()
        await database.close()


def work_once(database: Database) -> None:
    with database.sync_session() as session:
        session.execute(SELECT)


class Unavailable(Exception):
    """What the store of passwords raises."""


@pytest.mark.anyio
@drivers
async def test_a_callable_that_fails_is_told_with_its_cause(scram: EmbeddedPostgres, driver: str) -> None:
    def password() -> str:
        raise Unavailable("the store knows s3cr3t")

    async with Database(scram.url(driver), password=password, min_idle=0) as database:
        with pytest.raises(ConnectFailed, match="the password callable raised Unavailable") as failed:
            await database.ping()
    assert failed.value.reason is ConnectFailure.AUTHENTICATION
    assert "s3cr3t" not in str(failed.value)
    causes = list(chain(failed.value))
    assert any(isinstance(cause, Unavailable) for cause in causes)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


@pytest.mark.anyio
@pytest.mark.parametrize(("driver", "kind"), [("asyncpg", "sync"), ("psycopg", "async")])
async def test_a_callable_that_hangs_is_given_up(scram: EmbeddedPostgres, driver: str, kind: str) -> None:
    over = threading.Event()

    async def later() -> str:
        await asyncio.sleep(60)
        return ""

    def hang() -> str:
        over.wait(60)
        return ""

    password = hang if kind == "sync" else later
    began = time.monotonic()
    async with Database(scram.url(driver), password=password, min_idle=0, connect_timeout=0.3) as database:
        with pytest.raises(ConnectFailed, match=r"no answer within connect_timeout = 0\.3 s"):
            await database.ping(timeout=10)
    over.set()
    assert time.monotonic() - began < 8


@pytest.mark.anyio
@pytest.mark.parametrize(("driver", "kind"), [("asyncpg", "async"), ("psycopg", "async"), ("psycopg", "sync")])
async def test_asking_and_connecting_have_one_deadline(driver: str, kind: str) -> None:
    async def password() -> str:
        await asyncio.sleep(0.4)
        return "right"

    # Takes connections, and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+{driver}://u@127.0.0.1:{silent.getsockname()[1]}/db"
        database = Database(url, password=password, min_idle=0, connect_timeout=0.5)
        with pytest.raises(ConnectFailed) as failed:
            await (database.probe(timeout=20) if kind == "async" else asyncio.to_thread(work_once, database))
        assert failed.value.reason is ConnectFailure.TIMEOUT
        # The driver would have told of its own deadline, half a second after the answer.
        assert "with asking for the password" in str(failed.value.orig)
        await database.close()


@pytest.mark.anyio
async def test_no_caller_waits_for_the_callable_where_a_connection_comes_home(scram: EmbeddedPostgres) -> None:
    asked = asyncio.Event()

    async def password() -> str:
        if asked.is_set():
            await asyncio.sleep(60)
        asked.set()
        return scram.credentials.password or ""

    url = scram.url("asyncpg")
    async with Database(url, password=password, min_idle=1, pool_size=5) as database, asyncio.timeout(5):

        async def work() -> None:
            async with database.session() as session:
                await session.execute(text("SELECT pg_sleep(0.05)"))

        await asyncio.gather(*(work() for _ in range(4)))


@pytest.mark.anyio
@pytest.mark.parametrize("word", ["", None, b"hunter2", 7])
async def test_what_is_no_password_is_refused_unseen(scram: EmbeddedPostgres, word: object) -> None:
    async with Database(scram.url(), password=lambda: word, min_idle=0) as database:  # type: ignore[arg-type, return-value]
        with pytest.raises(ConnectFailed, match="returned an") as failed:
            await database.ping()
    assert "hunter2" not in str(failed.value)


@pytest.mark.anyio
@drivers
async def test_a_wrong_password_is_told_at_once_and_never_shown(
    scram: EmbeddedPostgres, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0

    def password() -> str:
        nonlocal asked
        asked += 1
        return "hunter2-wrong"

    caplog.set_level("DEBUG")
    async with Database(scram.url(driver), password=password, min_idle=1) as database:
        with pytest.raises(ConnectFailed) as failed:
            await database.ping()
        shown = [repr(database), repr(database.engine), str(failed.value), repr(failed.value), caplog.text]
        shown += [repr(vars(database)), str(database.settings.as_dict())]
    assert failed.value.reason is ConnectFailure.AUTHENTICATION
    assert not any("hunter2" in text for text in shown)


def test_a_text_in_the_place_of_a_callable_is_refused() -> None:
    with pytest.raises(TypeError, match="belongs into the URL"):
        Database("postgresql+asyncpg://h/db", password="hunter2")  # type: ignore[arg-type]
