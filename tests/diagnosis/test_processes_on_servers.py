"""What a process does to itself, and its predecessors to it, on real servers and a real event loop."""

# No `from __future__ import annotations`: FastAPI reads those of the endpoints.
import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from tests.database.stores import MARIADB, POSTGRESQL, Store, on
from tests.server.conftest import role
from tests.server.sessions import Client, clients, one, see
from tests.servers import FreshDatabase
from tests.service.served import serve, wait_until

from poolkeeper import ConnectFailed, Database
from poolkeeper.diagnosis import explain
from poolkeeper.fastapi import Keeper
from poolkeeper.model import ClientName
from poolkeeper.observe import current_scope

__all__ = ["role"]

pytestmark = pytest.mark.anyio
HERE = "diagnosis/test_processes_on_servers.py"
THREADS = 40


class Route:
    path = "/stock"


@on(*POSTGRESQL, *MARIADB)
async def test_a_deadlock(store: Store) -> None:
    store.server.execute("INSERT INTO note (id, body) VALUES (1, 'a'), (2, 'b')")
    met = asyncio.Barrier(2)
    is_postgresql = store.kind in POSTGRESQL

    async def takes(database: Database, first: int, second: int) -> None:
        current_scope.set({"method": "POST", "route": Route()})
        async with database.session() as session:
            if is_postgresql:
                await session.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
            for number in (first, second):
                await session.execute(text("UPDATE note SET body = 'c' WHERE id = :id"), {"id": number})
                if number == first:
                    await met.wait()

    async with store.make(pool_size=3) as database:
        window = [database.snapshot()]
        ended = await asyncio.gather(takes(database, 1, 2), takes(database, 2, 1), return_exceptions=True)
        window.append(database.snapshot())
    # The other one of the two got what it waited for.
    assert [isinstance(error, DBAPIError) for error in ended if error is not None] == [True]
    (found,) = [finding for finding in explain(window) if finding.code == "deadlocks"]
    assert found.figures["deadlocks"] == 1
    assert "UPDATE note SET body = ? WHERE id = ?" in found.seen
    assert f"POST /stock at {HERE}" in found.seen
    assert "in takes" in found.seen


def test_threads_that_are_all_busy(fresh_database: FreshDatabase) -> None:
    app, keeper = FastAPI(), Keeper(Database(fresh_database.url(), pool_size=3, min_idle=0))
    keeper.install(app)
    may_end = threading.Event()

    @app.get("/report")
    def report() -> None:
        may_end.wait(20)

    @app.get("/quick")
    async def quick() -> None:
        async with keeper.database.session() as session:
            await session.execute(text("SELECT 1"))

    def told() -> tuple[int, int]:
        found = keeper.database.snapshot().threads
        return (found.waiting, found.there) if found else (0, 0)

    with serve(app) as served, ThreadPoolExecutor(THREADS + 5) as threads:
        answers = [threads.submit(httpx.get, f"{served.url}/report", timeout=30) for _ in range(THREADS + 5)]
        try:
            wait_until(lambda: told() == (5, THREADS))
            # What asks for no thread is served as ever.
            assert httpx.get(f"{served.url}/quick").status_code == 200
            window = []
            for _ in range(3):
                time.sleep(0.02)
                window.append(keeper.database.snapshot())
        finally:
            may_end.set()
        assert {answer.result().status_code for answer in answers} == {200}
        calm = keeper.database.snapshot()
    found = explain(window)[0]
    assert (found.code, found.severity) == ("thread-starvation", "error")
    assert f"40 of 40 threads busy, 40 of them at {HERE}:" in found.seen
    assert "in report; 5 calls waiting" in found.seen
    assert explain([calm]) == ()


@on(POSTGRESQL[0])
async def test_an_engine_for_each_request(store: Store) -> None:
    async with AsyncExitStack() as held:
        database = await held.enter_async_context(store.make(pool_size=3))
        window = []
        for _ in range(5):
            async with database.session() as session:
                await session.execute(text("SELECT 1"))
            window.append(database.snapshot())
            wrong = await held.enter_async_context(store.make(pool_size=3))
            session = await held.enter_async_context(wrong.session())
            await session.execute(text("SELECT 1"))
        assert explain(window[:2]) == ()
        first = explain(window)[0]
        assert first.code == "engine-per-request"
        assert "5 pools of this process lead to the same database" in first.seen
        assert (first.figures["pools"], first.figures["open"], first.figures["risen_by"]) == (5, 5, 4)
    async with store.make(pool_size=3) as database:
        assert database.snapshot().pools is None
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
            pools = database.snapshot().pools
    assert pools is not None
    assert (pools.count, pools.open) == (1, 1)


def pid_of_an_ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


async def test_sessions_that_an_earlier_process_left(fresh_database: FreshDatabase, role: Callable[..., str]) -> None:
    app_role = role("app", "CONNECTION LIMIT 4")
    as_app = make_url(fresh_database.url("psycopg")).set(username=app_role)
    left = ClientName("shop", socket.gethostname(), pid_of_an_ended_process())
    named = as_app.update_query_dict({"application_name": str(left)}).render_as_string(hide_password=False)
    with clients() as connect:
        opened: list[Client] = [connect(named) for _ in range(4)]
        url = as_app.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
        async with Database(url, service="shop", min_idle=0, pool_timeout=1) as database:
            with pytest.raises(ConnectFailed):
                async with database.session() as session:
                    await session.execute(text("SELECT 1"))
            # Somebody whom the limit leaves alone looks, in the service's name.
            own = str(left._replace(pid=left.pid + 1))
            looked = await asyncio.to_thread(see, fresh_database.url("psycopg"), own)
            found = explain([database.snapshot()], looked)[0]
        assert all(one(looked, client.id).client_ended for client in opened)
    assert (found.code, found.severity) == ("deploy-overlap", "error")
    assert "4 of processes that have ended" in found.seen


def test_a_process_that_runs_is_not_taken_for_ended(fresh_database: FreshDatabase) -> None:
    url = fresh_database.url("psycopg")

    def named(name: ClientName) -> str:
        return make_url(url).update_query_dict({"application_name": str(name)}).render_as_string(hide_password=False)

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process, clients() as connect:
        runs = ClientName("shop", socket.gethostname(), process.pid)
        elsewhere = ClientName("shop", "another", pid_of_an_ended_process())
        opened = [connect(named(name)) for name in (runs, elsewhere)]
        looked = see(url)
        for client in opened:
            session = one(looked, client.id)
            assert not session.client_ended
            assert session.session_seconds is not None
            assert session.session_seconds < 60
        process.communicate(b"\n")
