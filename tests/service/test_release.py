"""A request's connection is home before its response starts, and a session that is over says so."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase
from tests.service.served import serve, streams_generators

from poolkeeper import Database, SessionAcrossStream, SessionReleased
from poolkeeper.fastapi import Keeper

MakeDatabase = Callable[..., Database]


def app_with(database: Database) -> tuple[FastAPI, Keeper]:
    app, keeper = FastAPI(), Keeper(database)
    keeper.install(app)
    return app, keeper


def test_the_connection_is_home_while_background_tasks_run_and_they_see_the_commit(make_database: MakeDatabase) -> None:
    database = make_database()
    app, keeper = app_with(database)
    seen: dict[str, object] = {}
    done = threading.Event()

    async def background() -> None:
        seen["in_use"] = database.snapshot().in_use
        async with database.read_session() as session:
            seen["rows"] = await session.scalar(text("SELECT count(*) FROM note"))
        done.set()

    @app.post("/notes")
    async def add(session: Annotated[AsyncSession, keeper.write], tasks: BackgroundTasks) -> None:
        await session.execute(text("INSERT INTO note VALUES (1)"))
        tasks.add_task(background)

    with serve(app) as served:
        assert httpx.post(f"{served.url}/notes").status_code == 200
        assert done.wait(10)
    assert seen == {"in_use": 0, "rows": 1}


def test_the_connection_is_home_before_the_first_byte_and_while_a_slow_client_reads(
    make_database: MakeDatabase,
) -> None:
    database = make_database()
    app, keeper = app_with(database)
    at_first_byte: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        at_first_byte.append(database.snapshot().in_use)
        for _ in range(256):
            yield b"x" * 65536

    @app.get("/big")
    async def big(session: Annotated[AsyncSession, keeper.read]) -> StreamingResponse:
        await session.execute(text("SELECT 1"))
        return StreamingResponse(body())

    with serve(app) as served, socket.create_connection(("127.0.0.1", served.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(1)
        # The server now waits for this client to read on: 16 MiB do not fit into the sockets' buffers.
        assert at_first_byte == [0]
        assert database.snapshot().in_use == 0


@pytest.mark.parametrize("call", ["execute", "add", "commit", "get"])
def test_a_session_used_in_a_background_task_is_told_what_to_use_instead(
    make_database: MakeDatabase, call: str
) -> None:
    app, keeper = app_with(make_database())
    told: list[BaseException] = []
    done = threading.Event()

    async def background(session: AsyncSession) -> None:
        try:
            getattr(session, call)
        except SessionReleased as error:
            told.append(error)
        finally:
            done.set()

    @app.get("/late")
    async def late(session: Annotated[AsyncSession, keeper.write], tasks: BackgroundTasks) -> None:
        tasks.add_task(background, session)

    with serve(app) as served:
        assert httpx.get(f"{served.url}/late").status_code == 200
        assert done.wait(10)
    assert "async with db.session() as session" in str(told[0])


def test_a_stream_that_uses_its_requests_session_leaks_no_connection(make_database: MakeDatabase) -> None:
    database = make_database(pool_size=2)
    app, keeper = app_with(database)
    told: list[str] = []

    @app.get("/stream")
    async def stream(session: Annotated[AsyncSession, keeper.read]) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            try:
                yield str(await session.scalar(text("SELECT 1")))
            except SessionReleased as error:
                told.append(str(error))
                raise

        return StreamingResponse(body())

    with serve(app) as served:
        for _ in range(6):
            with pytest.raises(httpx.HTTPError):
                httpx.get(f"{served.url}/stream")
        assert database.snapshot().in_use == 0
    assert len(told) == 6
    assert "db.session()" in told[0]


@streams_generators
def test_a_generator_endpoint_with_a_request_session_is_refused(
    make_database: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database = make_database()
    app, keeper = app_with(database)

    @app.get("/lines")
    async def lines(session: Annotated[AsyncSession, keeper.read]) -> AsyncIterator[dict[str, int]]:
        yield {"id": await session.scalar(text("SELECT 1")) or 0}

    with serve(app) as served:
        assert httpx.get(f"{served.url}/lines").status_code == 500
        assert database.snapshot().in_use == 0
    error = next(record.exc_info[1] for record in caplog.records if record.exc_info)
    assert isinstance(error, SessionAcrossStream)
    assert "async with db.read_session()" in str(error)


@streams_generators
def test_a_generator_endpoint_with_sessions_of_its_own_works(make_database: MakeDatabase) -> None:
    database = make_database()
    app, _ = app_with(database)

    @app.get("/lines")
    async def lines() -> AsyncIterator[dict[str, int]]:
        for number in range(3):
            async with database.read_session() as session:
                row = await session.scalar(text("SELECT :n + 1"), {"n": number})
            yield {"id": row or 0}

    with serve(app) as served:
        body = httpx.get(f"{served.url}/lines").text
    assert [line for line in body.split("\n") if line] == ['{"id":1}', '{"id":2}', '{"id":3}']


def test_a_second_task_in_the_session_poisons_no_connection_for_others(tables: FreshDatabase, driver: str) -> None:
    database = Database(tables.url(driver), pool_size=1, min_idle=0)
    app, keeper = app_with(database)

    @app.get("/loose")
    async def loose(session: Annotated[AsyncSession, keeper.write]) -> str:
        await session.execute(text("SELECT 1"))
        task = asyncio.create_task(swallow(session.execute(text("SELECT pg_sleep(0.3)"))))
        await asyncio.sleep(0.05)
        kept.append(task)
        return "answered"

    @app.get("/innocent")
    async def innocent(session: Annotated[AsyncSession, keeper.write]) -> int:
        return await session.scalar(text("SELECT 1")) or 0

    kept: list[asyncio.Task[object]] = []
    with serve(app) as served:
        loose_status = httpx.get(f"{served.url}/loose").status_code
        innocents = [httpx.get(f"{served.url}/innocent").status_code for _ in range(6)]
    # psycopg lets the second task wait for its turn; asyncpg breaks, and the request must say so.
    assert loose_status == (500 if driver == "asyncpg" else 200)
    assert innocents == [200] * 6


async def swallow(work: object) -> object:
    try:
        return await work  # type: ignore[misc]
    except Exception as error:
        return error
