"""`def` endpoints on worker threads: as honest as the async ones, and no thread waits for a connection."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import Session
from tests.service.served import serve, streams_generators, wait_until

from poolkeeper import Database, SessionAcrossStream
from poolkeeper.fastapi import Keeper


class Note(BaseModel):
    id: int


@dataclass
class Server:
    """A database behind a blocking driver, looked at from outside."""

    url: str
    connection_id: str
    sleep: str
    count_notes: Callable[[], int]
    end_connection: Callable[[int], object]

    def app(self, **settings: object) -> tuple[FastAPI, Keeper]:
        app, keeper = FastAPI(), Keeper(Database(self.url, **settings))
        keeper.install(app)
        return app, keeper


@pytest.fixture(params=["psycopg", pytest.param("pymysql", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> Server:
    if request.param == "psycopg":
        tables = request.getfixturevalue("tables")
        return Server(
            tables.url("psycopg"),
            "SELECT pg_backend_pid()",
            "SELECT pg_sleep(:s)",
            lambda: int(tables.query("SELECT count(*) FROM note")[0][0]),
            lambda number: tables.terminate_backends(f"pid = {number}"),
        )
    mariadb = request.getfixturevalue("fresh_mariadb")
    mariadb.execute("CREATE TABLE note (id int PRIMARY KEY)")
    return Server(
        mariadb.url("pymysql"),
        "SELECT CONNECTION_ID()",
        "SELECT SLEEP(:s)",
        lambda: int(mariadb.query("SELECT count(*) FROM note")[0][0]),
        lambda number: mariadb.kill_connections(f"id = {number}"),
    )


def statuses_of(url: str, requests: int, at_once: int) -> Counter[int]:
    limits = httpx.Limits(max_connections=at_once)
    with httpx.Client(limits=limits, timeout=60) as client, ThreadPoolExecutor(at_once) as threads:
        return Counter(threads.map(lambda _: client.get(url).status_code, range(requests)))


def test_what_an_endpoint_writes_is_committed_before_its_client_knows(server: Server) -> None:
    app, keeper = server.app()

    @app.post("/notes/{note_id}")
    def add(note_id: int, session: Annotated[Session, keeper.sync_write]) -> Note:
        session.execute(text("INSERT INTO note VALUES (:id)"), {"id": note_id})
        return Note(id=note_id)

    with serve(app) as served:
        for number in range(5):
            assert httpx.post(f"{served.url}/notes/{number}").json() == {"id": number}
            assert server.count_notes() == number + 1


def test_a_connection_killed_before_commit_is_never_a_2xx(server: Server) -> None:
    app, keeper = server.app()

    @app.post("/killed")
    def killed(session: Annotated[Session, keeper.sync_write]) -> Note:
        session.execute(text("INSERT INTO note VALUES (1)"))
        server.end_connection(session.scalar(text(server.connection_id)) or 0)
        return Note(id=1)

    with serve(app) as served:
        response = httpx.post(f"{served.url}/killed")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:poolkeeper:problem:connection-lost"
    assert server.count_notes() == 0


def test_a_commit_that_fails_on_a_deferred_constraint_is_never_a_2xx(tables: object) -> None:
    keeper = Keeper(Database(tables.url("psycopg")))  # type: ignore[attr-defined]
    app = FastAPI()
    keeper.install(app)

    @app.post("/orphan")
    def orphan(session: Annotated[Session, keeper.sync_write]) -> Note:
        session.execute(text("INSERT INTO child VALUES (42)"))
        return Note(id=42)

    with serve(app) as served:
        assert httpx.post(f"{served.url}/orphan").status_code == 500


@pytest.mark.parametrize(("error", "status"), [(HTTPException(409), 409), (RuntimeError("boom"), 500)])
def test_any_exception_rolls_back(server: Server, error: Exception, status: int) -> None:
    app, keeper = server.app()

    @app.post("/fails")
    def fails(session: Annotated[Session, keeper.sync_write]) -> None:
        session.execute(text("INSERT INTO note VALUES (1)"))
        raise error

    with serve(app) as served:
        assert httpx.post(f"{served.url}/fails").status_code == status
    assert server.count_notes() == 0


def test_the_connection_is_home_before_the_first_byte_and_while_a_slow_client_reads(server: Server) -> None:
    app, keeper = server.app()
    at_first_byte: list[int] = []

    def body() -> Iterator[bytes]:
        at_first_byte.append(keeper.database.snapshot().in_use)
        for _ in range(256):
            yield b"x" * 65536

    @app.get("/big")
    def big(session: Annotated[Session, keeper.sync_read]) -> StreamingResponse:
        session.execute(text("SELECT 1"))
        return StreamingResponse(body())

    with serve(app) as served, socket.create_connection(("127.0.0.1", served.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(1)
        wait_until(lambda: bool(at_first_byte))
        assert at_first_byte == [0]
        assert keeper.database.snapshot().in_use == 0


@pytest.mark.slow
@pytest.mark.parametrize("pool_size", [40, 5])
def test_two_hundred_requests_at_once_are_all_served(server: Server, pool_size: int) -> None:
    """Each keeps its connection from the endpoint's thread to the one that serialises: none may be lacking then."""
    app, keeper = server.app(pool_size=pool_size)

    @app.get("/busy")
    def busy(session: Annotated[Session, keeper.sync_write]) -> Note:
        session.execute(text(server.sleep), {"s": 0.01})
        return Note(id=1)

    with serve(app) as served:
        statuses = statuses_of(f"{served.url}/busy", 200, at_once=200)
        left = keeper.database.snapshot()
    assert statuses == {200: 200}
    assert (left.in_use, left.waiting) == (0, 0)


def test_requests_that_wait_for_a_connection_keep_no_thread_from_others(server: Server) -> None:
    app, keeper = server.app(pool_size=1)
    held = threading.Event()

    @app.get("/held")
    def hold(session: Annotated[Session, keeper.sync_read]) -> None:
        session.execute(text("SELECT 1"))
        held.wait(20)

    @app.get("/idle")
    def idle() -> str:
        return "answered"

    with serve(app) as served, ThreadPoolExecutor(60) as threads:
        waiting = [threads.submit(httpx.get, f"{served.url}/held", timeout=30) for _ in range(60)]
        try:
            wait_until(lambda: keeper.database.snapshot().waiting == 59)
            assert httpx.get(f"{served.url}/idle").json() == "answered"
            unready = httpx.get(f"{served.url}/health/ready")
        finally:
            held.set()
        assert {answer.result().status_code for answer in waiting} == {200}
    assert unready.json()["reason"] == "pool-saturated"


def test_who_waits_longer_than_the_pool_timeout_is_told_so(server: Server) -> None:
    app, keeper = server.app(pool_size=1, pool_timeout=0.2)
    held = threading.Event()

    @app.get("/held")
    def hold(session: Annotated[Session, keeper.sync_read]) -> None:
        session.execute(text("SELECT 1"))
        held.wait(20)

    with serve(app) as served, ThreadPoolExecutor(1) as threads:
        first = threads.submit(httpx.get, f"{served.url}/held", timeout=30)
        try:
            wait_until(lambda: keeper.database.snapshot().in_use == 1)
            late = httpx.get(f"{served.url}/held")
        finally:
            held.set()
        assert first.result().status_code == 200
        assert httpx.get(f"{served.url}/held").status_code == 200
    assert late.status_code == 503
    assert late.json()["type"] == "urn:poolkeeper:problem:pool-timeout"
    assert late.headers["Retry-After"] == "1"


@streams_generators
def test_a_generator_endpoint_on_threads_is_refused(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    app, keeper = server.app()

    @app.get("/lines")
    def lines(session: Annotated[Session, keeper.sync_read]) -> Iterator[Note]:
        yield Note(id=session.scalar(text("SELECT 1")) or 0)

    with serve(app) as served:
        assert httpx.get(f"{served.url}/lines").status_code == 500
    assert any(isinstance(record.exc_info[1], SessionAcrossStream) for record in caplog.records if record.exc_info)
