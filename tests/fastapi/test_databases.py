"""Three databases of different engines in one app: each fails alone, and all of them close together."""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession
from tests.database.stores import TABLE
from tests.servers import FreshDatabase, FreshMariaDB, left_after_a_moment
from tests.service.served import Served, serve, wait_until

from poolkeeper import Database, Databases
from poolkeeper.fastapi import HealthPaths, Keepers
from poolkeeper.testing import FaultProxy

NAMES = ["orders", "legacy", "cache"]


@dataclass
class Three:
    """Databases on PostgreSQL, MariaDB (behind a network that breaks on demand) and SQLite, and their app."""

    postgres: FreshDatabase
    mariadb: FreshMariaDB
    network: FaultProxy
    databases: Databases
    app: FastAPI

    def left(self) -> list[object]:
        return left_after_a_moment(lambda: [*self.postgres.activity(), *self.mariadb.connections()])


def databases_of(postgres: FreshDatabase, legacy: str, file: Path, **settings: object) -> Databases:
    given = {"pool_size": 2, "pool_timeout": 0.2, "connect_timeout": 1, "connect_grace": 0, **settings}
    return Databases(
        orders=Database(postgres.url(), **given),
        legacy=Database(legacy, **given),
        cache=Database(f"sqlite+aiosqlite:///{file}", **given),
    )


@pytest.fixture
def network(fresh_mariadb: FreshMariaDB) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", fresh_mariadb.server.port) as running:
        yield running


@pytest.fixture
def three(fresh_database: FreshDatabase, fresh_mariadb: FreshMariaDB, network: FaultProxy, tmp_path: Path) -> Three:
    databases = databases_of(fresh_database, network.url(fresh_mariadb.url()), tmp_path / "cache.db")
    for server in (fresh_database, fresh_mariadb):
        server.execute(TABLE)
    return Three(fresh_database, fresh_mariadb, network, databases, FastAPI())


def add_endpoints(app: FastAPI, keepers: Keepers) -> None:
    for name, keeper in keepers.items():
        app.post(f"/{name}/{{number}}")(writing(Annotated[AsyncSession, keeper.write]))
        app.get(f"/{name}")(reading(Annotated[AsyncSession, keeper.read]))


def writing(kind: object) -> Callable[..., Awaitable[None]]:
    async def write(number: int, session: kind) -> None:  # type: ignore[valid-type]
        await session.execute(text("INSERT INTO note VALUES (:id, 'x')"), {"id": number})  # type: ignore[attr-defined]

    return write


def reading(kind: object) -> Callable[..., Awaitable[int]]:
    async def read(session: kind) -> int:  # type: ignore[valid-type]
        return int(await session.scalar(text("SELECT count(*) FROM note")))  # type: ignore[attr-defined]

    return read


@contextlib.contextmanager
def served(three: Three, **options: object) -> Iterator[Served]:
    keepers = Keepers(three.databases, **options)  # type: ignore[arg-type]
    add_endpoints(three.app, keepers)
    keepers.install(three.app)

    @three.app.post("/tables")
    async def tables() -> None:
        async with three.databases["cache"].session() as session:
            await session.execute(text(TABLE))

    with serve(three.app) as running:
        httpx.post(f"{running.url}/tables").raise_for_status()
        yield running


def answer(running: Served, path: str) -> httpx.Response:
    return httpx.get(running.url + path, timeout=20)


def test_each_has_its_own_sessions_health_metrics_and_section_and_one_shutdown_closes_all(three: Three) -> None:
    with served(three) as running:
        for number, name in enumerate(NAMES):
            for each in range(number + 1):
                httpx.post(f"{running.url}/{name}/{each}").raise_for_status()
        assert [answer(running, f"/{name}").json() for name in NAMES] == [1, 2, 3]
        assert answer(running, "/health/live").status_code == 200
        assert answer(running, "/health/ready").json() == {
            "status": "ready",
            "databases": dict.fromkeys(NAMES, "ready"),
        }
        health = answer(running, "/health/db").json()
        assert {name: body["status"] for name, body in health["databases"].items()} == dict.fromkeys(NAMES, "ok")
        assert answer(running, "/health/db/cache").json()["pool"]["name"] == "cache"
        pools = re.findall(r'^db_client_connection_max\{.*?pool_name="(\w+)"', answer(running, "/metrics").text, re.M)
        assert sorted(pools) == sorted(NAMES)
        page = answer(running, "/poolkeeper/")
        assert re.findall(r'<h2 id="(\w+)">', page.text) == NAMES
        assert page.text.count(">Ready.<") == 3
        assert three.postgres.name not in page.text
        through_a_proxy = httpx.get(f"{running.url}/poolkeeper/", headers={"X-Forwarded-For": "10.0.0.1"})
        assert through_a_proxy.status_code == 403
        assert [answer(running, f"/poolkeeper/{name}/data").json()["database"] for name in NAMES] == NAMES
        assert answer(running, "/poolkeeper/page.css").headers["content-type"].startswith("text/css")
        assert len(three.postgres.activity()) == len(three.mariadb.connections()) == 2
    assert three.left() == []
    assert [database.snapshot().open for database in three.databases.values()] == [0, 0, 0]


def test_one_that_fails_leaves_the_others_serving_and_shows(three: Three) -> None:
    with served(three, health=HealthPaths(live=None)) as running:
        three.network.refuse()
        three.network.reset()
        refused = answer(running, "/legacy")
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert [answer(running, f"/{name}").status_code for name in ("orders", "cache")] == [200, 200]
        wait_until(lambda: three.databases["legacy"].connectivity.failure is not None)
        ready = answer(running, "/health/ready")
        assert ready.status_code == 200
        assert ready.json()["databases"] == {"orders": "ready", "legacy": "connect-refused", "cache": "ready"}
        health = answer(running, "/health/db")
        assert health.status_code == 503
        assert [body["status"] for body in health.json()["databases"].values()] == ["ok", "unhealthy", "ok"]
        assert answer(running, "/health/db/legacy").status_code == 503
        assert answer(running, "/health/db/orders").status_code == 200
        assert "No connection can be opened (refused)." in answer(running, "/poolkeeper/").text
        assert answer(running, "/health/live").status_code == 404
        three.network.heal()
        wait_until(lambda: answer(running, "/legacy").status_code == 200)
    assert three.left() == []


@pytest.mark.slow
def test_without_one_that_is_needed_the_app_gets_no_traffic(three: Three) -> None:
    with served(three, needed=["orders", "legacy"], page=None) as running:
        three.network.refuse()
        three.network.reset()
        answer(running, "/legacy")
        wait_until(lambda: answer(running, "/health/ready").status_code == 503)
        assert answer(running, "/health/ready").json()["databases"]["cache"] == "ready"
        assert answer(running, "/orders").status_code == 200
        assert answer(running, "/poolkeeper/").status_code == 404
        three.databases.begin_shutdown()
        told = answer(running, "/health/ready").json()["databases"]
        assert told == dict.fromkeys(NAMES, "draining")


@pytest.mark.anyio
async def test_errors_and_the_log_name_the_database(three: Three, caplog: pytest.LogCaptureFixture) -> None:
    async with three.databases:
        for name, database in three.databases.items():
            async with database.session() as one, database.session() as two, database.session() as late:
                for session in (one, two):
                    await session.execute(text("SELECT 1"))
                with caplog.at_level(logging.WARNING), pytest.raises(PoolTimeoutError, match=rf"KeeperPool {name}\b"):
                    await late.execute(text("SELECT 1"))
    assert {record.pool for record in caplog.records if hasattr(record, "pool")} <= set(NAMES)
    for name, database in three.databases.items():
        with pytest.raises(Exception, match=f"Database '{name}' is shut down"):
            async with database.session():
                pass


class Stubborn(Database):
    """One that cannot do what it is told to."""

    refuses: str = "close"

    async def start(self) -> None:
        await super().start()
        if self.refuses == "start":
            raise OSError("no disk")

    async def close(self, deadline: float | None = None) -> bool:
        await super().close(deadline)
        if self.refuses == "close":
            raise OSError("no disk")
        return True


async def run_with_one_that(refuses: str, three: Three, file: Path) -> ExceptionGroup[Exception]:
    stubborn = Stubborn(f"sqlite+aiosqlite:///{file}")
    stubborn.refuses = refuses
    databases = Databases(**three.databases, stubborn=stubborn)
    keepers = Keepers(databases)
    keepers.install(three.app)
    with pytest.raises(ExceptionGroup) as failed:
        async with three.app.router.lifespan_context(three.app):
            assert refuses == "close", "it is not to start"
            assert len(three.postgres.activity()) == 2
    return failed.value


@pytest.mark.anyio
@pytest.mark.parametrize("refuses", ["start", pytest.param("close", marks=pytest.mark.slow)])
async def test_one_that_cannot_start_or_close_leaves_nothing_of_the_others_open(
    refuses: str, three: Three, tmp_path: Path
) -> None:
    failed = await run_with_one_that(refuses, three, tmp_path / "stubborn.db")
    assert [(str(error), error.__notes__) for error in failed.exceptions] == [("no disk", ["database 'stubborn'"])]
    assert await asyncio.to_thread(three.left) == []


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_start_that_is_cancelled_leaves_nothing_open(three: Three) -> None:
    three.network.drop()
    starting = asyncio.create_task(three.databases.start())
    while not three.postgres.activity():  # noqa: ASYNC110 - a server says nothing when it has changed
        await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    three.network.heal()
    three.network.reset()
    assert await asyncio.to_thread(three.left) == []


def test_a_name_that_cannot_be_part_of_a_path_is_refused() -> None:
    def one() -> Database:
        return Database("sqlite+aiosqlite://")

    with pytest.raises(ValueError, match="'a/b' is to be part of paths"):
        Keepers(Databases(**{"a/b": one()}))
    with pytest.raises(ValueError, match=r"which are a, b; 'c' is none"):
        Keepers(Databases(a=one(), b=one()), needed=["a", "c"])
    with pytest.raises(ValueError, match="at least one"):
        Keepers(Databases())


def test_each_database_with_replicas_has_a_cookie_of_its_own() -> None:
    def one(name: str) -> Database:
        url = f"postgresql+asyncpg://me@127.0.0.1:1/{name}"
        return Database(url, replicas=[f"{url}_replica"], signing_key="long enough to be one")

    app, databases = FastAPI(), Databases(a=one("a"), b=one("b"), c=Database("sqlite+aiosqlite://"))
    Keepers(databases, read_your_writes="cookie").install(app)
    carried = [middleware.kwargs["how"] for middleware in app.user_middleware if "how" in middleware.kwargs]
    assert sorted(how.name for how in carried) == ["poolkeeper-position-a", "poolkeeper-position-b"]
