"""A planned switch of the primary under clients over HTTP: every request is answered as if nothing had been."""

# No postponed annotations here: FastAPI reads those of endpoints that are defined inside tests.
import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from tests.replicas.clusters import INSERT, Cluster, befall, host_of, own_cluster, sync_host_of
from tests.service.served import serve

from poolkeeper import Database
from poolkeeper.fastapi import Keeper

CLIENTS = 4
NAME = "primary.test"

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_cluster() as cluster:
        yield cluster


def app_on(database: Database, promote: Callable[[], None]) -> FastAPI:
    """Writes and reads, `/switch`, and with a driver that blocks the same on threads."""
    keeper, app = Keeper(database, page=None, metrics=None), FastAPI()
    write, read = Annotated[AsyncSession, keeper.write], Annotated[AsyncSession, keeper.read]

    @app.post("/notes")
    async def add(session: write) -> int:
        await session.execute(INSERT)
        return await host_of(session)

    @app.get("/notes")
    async def count(session: read) -> int:
        return await host_of(session)

    @app.post("/switch")
    async def switch() -> None:
        await switch_over(database, lambda: asyncio.to_thread(promote))

    if database.settings.supports_sync:
        add_threads(app, keeper)
    keeper.install(app)
    return app


def add_threads(app: FastAPI, keeper: Keeper) -> None:
    write, read = Annotated[Session, keeper.sync_write], Annotated[Session, keeper.sync_read]

    @app.post("/threads")
    def add(session: write) -> int:
        session.execute(INSERT)
        return sync_host_of(session)

    @app.get("/threads")
    def count(session: read) -> int:
        return sync_host_of(session)


async def switch_over(database: Database, promote: Callable[[], Awaitable[None]]) -> None:
    """As the guide has it."""
    database.suspend()
    try:
        while database.snapshot().in_use:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
        await promote()
    finally:
        database.resume()


@dataclass
class Clients:
    """What became of the requests: how many by kind and port, the longest of each kind, and what failed."""

    url: str
    answers: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    longest: dict[str, float] = field(default_factory=dict[str, float])
    last: dict[str, int] = field(default_factory=dict[str, int])
    failed: list[str] = field(default_factory=list[str])

    async def run(self, paths: list[str], after: float) -> None:
        """Requests before, during, and for so many seconds after a switch."""
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as client, asyncio.TaskGroup() as group:
            calls = [(method, path) for path in paths for method in ("POST", "GET") for _ in range(CLIENTS)]
            running = [group.create_task(self._call(client, *call)) for call in calls]
            await asyncio.sleep(0.5)
            (await client.post("/switch")).raise_for_status()
            await asyncio.sleep(after)
            for task in running:
                task.cancel()

    async def _call(self, client: httpx.AsyncClient, method: str, path: str) -> None:
        kind = f"{method} {path}"
        with suppress(asyncio.CancelledError):
            while True:
                began = time.monotonic()
                answer = await client.request(method, path)
                self.longest[kind] = max(self.longest.get(kind, 0.0), time.monotonic() - began)
                if answer.is_success:
                    self.last[kind] = answer.json()
                    self.answers[kind, answer.json()] += 1
                else:
                    self.failed.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
                await asyncio.sleep(0.01)


def switched(database: Database, promote: Callable[[], None], paths: list[str], *, after: float = 1.0) -> Clients:
    # uvloop resolves names in its own way.
    with serve(app_on(database, promote), loop="asyncio") as served:
        clients = Clients(served.url)
        asyncio.run(clients.run(paths, after))
    print(dict(clients.answers), {kind: round(longest, 2) for kind, longest in clients.longest.items()})
    assert not clients.failed
    return clients


def test_a_primary_with_replicas_changes_within_five_seconds(cluster: Cluster) -> None:
    def promote() -> None:
        began = time.monotonic()
        befall(cluster.primary, "standby")
        time.sleep(max(0.0, began + 4.5 - time.monotonic()))
        cluster.one.promote()

    clients = switched(cluster.database("psycopg"), promote, ["/notes", "/threads"])
    for kind in ("POST /notes", "POST /threads"):
        assert clients.answers[kind, cluster.primary.port]
        assert clients.last[kind] == cluster.one.port
        assert clients.longest[kind] > 4
    # Replicas go on reading.
    assert max(clients.longest["GET /notes"], clients.longest["GET /threads"]) < 4


def test_a_name_moves_a_while_after_the_promotion(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    lead, resolve = {"port": cluster.primary.port}, socket.getaddrinfo

    def elsewhere(host: str | None, port: int | None, *args: int, **kwargs: int) -> list[tuple[object, ...]]:
        if host == NAME:
            host, port = "127.0.0.1", lead["port"]
        return list(resolve(host, port, *args, **kwargs))

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)

    def promote() -> None:
        befall(cluster.primary, "standby")
        cluster.one.promote()
        # It is resumed before the name has moved.
        threading.Timer(1.5, lead.update, kwargs={"port": cluster.one.port}).start()

    database = Database(f"postgresql+asyncpg://postgres@{NAME}:5432/postgres", pool_size=5, max_overflow=0)
    clients = switched(database, promote, ["/notes"], after=3)
    assert clients.last == {"POST /notes": cluster.one.port, "GET /notes": cluster.one.port}
    assert min(clients.longest.values()) > 1.5
