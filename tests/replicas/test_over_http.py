"""Read your writes over HTTP: from one request to the next, from one worker to another."""

# No postponed annotations here: FastAPI reads those of endpoints that are defined inside tests.
import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from tests.replicas.clusters import COUNT, INSERT, Cluster
from tests.service.served import serve

from poolkeeper import Database, Position, SettingsRefused
from poolkeeper.drill.service import Service
from poolkeeper.fastapi import Keeper, ReadYourWrites
from poolkeeper.fastapi.read_your_writes import Signed
from poolkeeper.model import Place

KEY = "correct horse battery staple"
COOKIE = "poolkeeper-position"


@contextmanager
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    with serve(app) as served, httpx.Client(base_url=served.url) as client:
        yield client


def app_on(database: Database, **options: Any) -> FastAPI:
    keeper = Keeper(database, page=None, metrics=None, **options)
    write, read = Annotated[AsyncSession, keeper.write], Annotated[AsyncSession, keeper.read]
    app = FastAPI()

    @app.post("/notes")
    async def add(session: write) -> str:
        await session.execute(INSERT)
        return "made"

    @app.get("/notes")
    async def count(session: read) -> list[int]:
        row = (await session.execute(text("SELECT count(*), current_setting('port')::int FROM note"))).one()
        return [row[0], row[1]]

    keeper.install(app)
    return app


def test_only_who_wrote_gets_a_cookie_and_reads_from_where_it_shows(cluster: Cluster) -> None:
    database = cluster.database(max_lag=60, replica_wait=2, signing_key=KEY)
    with client_of(app_on(database, read_your_writes="cookie")) as client:
        cluster.one.pause_replay()
        assert "set-cookie" not in client.get("/notes").headers
        made = client.post("/notes")
        cookie = SimpleCookie(made.headers["set-cookie"])[COOKIE]
        assert (cookie["path"], cookie["max-age"], cookie["samesite"]) == ("/", "70", "lax")
        assert cookie["httponly"]
        assert not cookie["secure"]
        for _ in range(4):
            answer = client.get("/notes")
            assert answer.json() == [1, cluster.two.port]
            assert "set-cookie" not in answer.headers
        client.cookies.clear()
        anonymous = [client.get("/notes").json() for _ in range(4)]
        assert Counter(found for found, _ in anonymous) == {0: 2, 1: 2}


@pytest.mark.slow
def test_a_header_instead(cluster: Cluster) -> None:
    database = cluster.database(max_lag=60, replica_wait=2, signing_key=KEY)
    how = ReadYourWrites("header", name="X-Seen")
    with client_of(app_on(database, read_your_writes=how)) as client:
        cluster.one.pause_replay()
        seen = client.post("/notes").headers["x-seen"]
        for _ in range(4):
            assert client.get("/notes", headers={"X-Seen": seen}).json() == [1, cluster.two.port]


def test_a_forged_position_is_nobodys(cluster: Cluster) -> None:
    database = cluster.database(max_lag=60, signing_key=KEY)
    forged = Signed(b"another key", database.name).text(Position(Place.of_wal(2**60)))
    with client_of(app_on(database, read_your_writes="cookie")) as client:
        for text_ in (forged, "nonsense", "é.é", "-", "." * 300):
            answer = client.get("/notes", headers={"Cookie": f"{COOKIE}={text_}".encode()})
            assert answer.json()[1] != cluster.primary.port
        true = Signed(KEY.encode(), database.name).text(Position(Place.of_wal(2**60)))
        answer = client.get("/notes", headers={"Cookie": f"{COOKIE}=stale; {COOKIE}={true}"})
        assert answer.json()[1] == cluster.primary.port


def test_without_a_key_nothing_is_carried(cluster: Cluster) -> None:
    with pytest.raises(SettingsRefused, match="signing-key-missing"):
        Keeper(cluster.database(), read_your_writes="cookie")
    # Without replicas there is nothing to carry.
    Keeper(Database(cluster.primary.url()), read_your_writes="cookie")


def test_health_shows_the_replicas_without_their_hosts(cluster: Cluster) -> None:
    nobody = cluster.one.url().replace(str(cluster.one.port), "1")
    database = cluster.database(replicas=[nobody, cluster.two.url()])
    with client_of(app_on(database)) as client:
        answer = client.get("/health/db")
        replicas = {each["name"]: each for each in answer.json()["replicas"]}
        assert {name: each["standing"] for name, each in replicas.items()} == {
            "replica-1": "unreachable",
            "replica-2": "ready",
        }
        assert replicas["replica-2"]["lag"] == 0
        assert replicas["replica-2"]["pool"]["name"] == "default/replica-2"
        assert [finding["code"] for finding in answer.json()["findings"]] == ["replica-unreachable"]
        assert "127.0.0.1" not in json.dumps(answer.json()["replicas"])


def test_endpoints_on_threads_read_what_they_wrote(cluster: Cluster) -> None:
    database = cluster.database("psycopg", max_lag=60, replica_wait=2, signing_key=KEY)
    keeper = Keeper(database, page=None, metrics=None, read_your_writes="cookie")
    write, read = Annotated[Session, keeper.sync_write], Annotated[Session, keeper.sync_read]
    app = FastAPI()

    @app.post("/notes")
    def add(session: write) -> str:
        session.execute(INSERT)
        return "made"

    @app.get("/notes")
    def count(session: read) -> int:
        return session.scalar(COUNT) or 0

    keeper.install(app)
    with client_of(app) as client:
        cluster.one.pause_replay()
        for number in range(1, 4):
            client.post("/notes")
            assert [client.get("/notes").json() for _ in range(2)] == [number] * 2


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_two_workers_and_a_replica_that_stands_still_show_nobody_a_stale_read(
    cluster: Cluster, tmp_path: Path, driver: str
) -> None:
    environment = {
        "DATABASE_REPLICA_URLS": ",".join(replica.url(driver) for replica in cluster.replicas),
        "DATABASE_SIGNING_KEY": KEY,
        "DATABASE_MAX_LAG": "600",
    }
    service = Service(
        cluster.primary.url(driver),
        tmp_path,
        workers=2,
        environment=environment,
        app="notes_app:app",
        app_dir=Path(__file__).parent,
    )
    with service:
        cluster.one.pause_replay()
        tally = asyncio.run(traffic(service.address, clients=8, rounds=25))
    print(dict(sorted(tally.items())))
    assert tally["ours"] == 200
    assert tally["ours stale"] == 0
    assert tally["anywhere stale"] >= 20
    # It was put to the test: by the other worker, and not by sending everything to the primary.
    assert tally["ours, another worker"] >= 20
    assert tally[f"ours on {cluster.two.port}"] >= 100
    assert tally[f"ours on {cluster.one.port}"] == 0


async def traffic(address: str, *, clients: int, rounds: int) -> Counter[str]:
    """Each client writes a note and reads it back at once, by our route and by one that picks any replica."""
    tally = Counter[str]()

    async def one_client() -> None:
        # A connection for each request, so that any worker may get it.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=30) as client:
            for _ in range(rounds):
                made = (await client.post("/notes")).raise_for_status().json()
                for kind, path in (("ours", "/notes"), ("anywhere", "/anywhere")):
                    seen = (await client.get(f"{path}/{made['id']}")).raise_for_status().json()
                    tally[kind] += 1
                    tally[f"{kind} on {seen['port']}"] += 1
                    tally[f"{kind} stale"] += not seen["found"]
                    tally[f"{kind}, another worker"] += seen["pid"] != made["pid"]

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one_client())
    return tally
