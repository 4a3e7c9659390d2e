"""A client is told of success after COMMIT and never before, seen through a real server and a real client."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase
from tests.service.served import serve, wait_until

from poolkeeper import Database
from poolkeeper.fastapi import Keeper
from poolkeeper.testing import FaultProxy

MakeDatabase = Callable[..., Database]


def app_with(database: Database) -> tuple[FastAPI, Keeper]:
    app, keeper = FastAPI(), Keeper(database)
    keeper.install(app)
    return app, keeper


def rows(tables: FreshDatabase, table: str) -> int:
    return int(tables.query(f"SELECT count(*) FROM {table}")[0][0] or 0)


def test_a_commit_that_fails_on_a_deferred_constraint_is_never_a_2xx(
    make_database: MakeDatabase, tables: FreshDatabase
) -> None:
    app, keeper = app_with(make_database())

    @app.post("/orphan")
    async def orphan(session: Annotated[AsyncSession, keeper.write]) -> dict[str, bool]:
        await session.execute(text("INSERT INTO child VALUES (42)"))
        return {"saved": True}

    with serve(app) as served:
        response = httpx.post(f"{served.url}/orphan")
    assert response.status_code == 500
    assert rows(tables, "child") == 0


def test_a_backend_killed_before_commit_is_never_a_2xx(make_database: MakeDatabase, tables: FreshDatabase) -> None:
    app, keeper = app_with(make_database())

    @app.post("/killed")
    async def killed(session: Annotated[AsyncSession, keeper.write]) -> dict[str, bool]:
        await session.execute(text("INSERT INTO note VALUES (1)"))
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        await asyncio.to_thread(tables.terminate_backends, f"pid = {pid}")
        return {"saved": True}

    with serve(app) as served:
        response = httpx.post(f"{served.url}/killed")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:poolkeeper:problem:connection-lost"
    assert "Retry-After" not in response.headers
    assert rows(tables, "note") == 0


def test_a_commit_whose_answer_is_lost_is_told_as_unknown(
    make_database: MakeDatabase, tables: FreshDatabase, driver: str
) -> None:
    with FaultProxy("127.0.0.1", tables.server.port) as proxy:
        app, keeper = app_with(Database(proxy.url(tables.url(driver)), min_idle=0))

        @app.post("/lost")
        async def lost(session: Annotated[AsyncSession, keeper.write]) -> dict[str, bool]:
            await session.execute(text("INSERT INTO note VALUES (1)"))
            # The COMMIT arrives after 0.5 s; its answer would be back after 1 s.
            proxy.latency = 0.5
            return {"saved": True}

        with serve(app) as served, ThreadPoolExecutor(1) as threads:
            answer = threads.submit(httpx.post, f"{served.url}/lost", timeout=30)
            wait_until(lambda: rows(tables, "note") == 1)
            proxy.reset()
            response = answer.result()
    assert response.status_code == 503
    assert response.json()["type"] == "urn:poolkeeper:problem:commit-unknown"
    assert "Retry-After" not in response.headers
    assert rows(tables, "note") == 1


def test_a_swallowed_statement_error_is_never_a_2xx(make_database: MakeDatabase, tables: FreshDatabase) -> None:
    app, keeper = app_with(make_database())

    @app.post("/swallowed")
    async def swallowed(session: Annotated[AsyncSession, keeper.write]) -> dict[str, bool]:
        await session.execute(text("INSERT INTO note VALUES (1)"))
        with contextlib.suppress(exc.IntegrityError):
            await session.execute(text("INSERT INTO note VALUES (1)"))
        return {"saved": True}

    with serve(app) as served:
        response = httpx.post(f"{served.url}/swallowed")
    assert response.status_code == 500
    assert rows(tables, "note") == 0


def test_an_error_inside_a_savepoint_leaves_the_rest_committed(
    make_database: MakeDatabase, tables: FreshDatabase
) -> None:
    app, keeper = app_with(make_database())

    @app.post("/savepoint")
    async def savepoint(session: Annotated[AsyncSession, keeper.write]) -> dict[str, bool]:
        await session.execute(text("INSERT INTO note VALUES (1)"))
        try:
            async with session.begin_nested():
                await session.execute(text("INSERT INTO note VALUES (1)"))
        except exc.IntegrityError:
            pass
        return {"saved": True}

    with serve(app) as served:
        response = httpx.post(f"{served.url}/savepoint")
    assert response.status_code == 200
    assert rows(tables, "note") == 1


def test_a_row_is_visible_to_the_next_request_as_soon_as_the_response_arrives(
    make_database: MakeDatabase,
) -> None:
    app, keeper = app_with(make_database())

    @app.post("/notes/{note_id}")
    async def add(note_id: int, session: Annotated[AsyncSession, keeper.write]) -> None:
        await session.execute(text("INSERT INTO note VALUES (:id)"), {"id": note_id})

    @app.get("/notes/{note_id}")
    async def get(note_id: int, session: Annotated[AsyncSession, keeper.read]) -> bool:
        return await session.scalar(text("SELECT 1 FROM note WHERE id = :id"), {"id": note_id}) is not None

    # Two connections, so that the reader does not have to wait for the writer's response to be done with.
    with serve(app) as served, httpx.Client() as writer, httpx.Client() as reader:
        seen = []
        for note_id in range(300):
            assert writer.post(f"{served.url}/notes/{note_id}").status_code == 200
            seen.append(reader.get(f"{served.url}/notes/{note_id}").json())
    assert seen == [True] * 300


@pytest.mark.parametrize(("error", "status"), [(HTTPException(404), 404), (RuntimeError("boom"), 500)])
def test_any_exception_rolls_back(
    make_database: MakeDatabase, tables: FreshDatabase, error: Exception, status: int
) -> None:
    app, keeper = app_with(make_database())

    @app.post("/fails")
    async def fails(session: Annotated[AsyncSession, keeper.write]) -> None:
        await session.execute(text("INSERT INTO note VALUES (1)"))
        raise error

    with serve(app) as served:
        assert httpx.post(f"{served.url}/fails").status_code == status
    assert rows(tables, "note") == 0


def test_a_response_that_cannot_be_serialised_rolls_back(make_database: MakeDatabase, tables: FreshDatabase) -> None:
    app, keeper = app_with(make_database())

    @app.post("/unserialisable", response_model=int)
    async def unserialisable(session: Annotated[AsyncSession, keeper.write]) -> Any:
        await session.execute(text("INSERT INTO note VALUES (1)"))
        return "not a number"

    with serve(app) as served:
        assert httpx.post(f"{served.url}/unserialisable").status_code == 500
    assert rows(tables, "note") == 0


def test_all_dependencies_of_a_request_share_one_session(make_database: MakeDatabase) -> None:
    app, keeper = app_with(make_database())
    WriteDB = Annotated[AsyncSession, keeper.write]
    router = APIRouter(dependencies=[keeper.write])

    async def user(session: WriteDB) -> int:
        await session.execute(text("SELECT 1"))
        return id(session)

    def not_generator(session: WriteDB) -> int:
        return id(session)

    @router.get("/shared")
    async def shared(
        session: WriteDB,
        other: Annotated[AsyncSession, keeper.write],
        first: Annotated[int, Depends(user)],
        second: Annotated[int, Depends(not_generator)],
    ) -> dict[str, int]:
        ids = {id(session), id(other), first, second}
        return {"sessions": len(ids), "connections": keeper.database.snapshot().in_use}

    app.include_router(router)
    with serve(app) as served:
        assert httpx.get(f"{served.url}/shared").json() == {"sessions": 1, "connections": 1}


def test_a_read_session_refuses_writes_before_anything_is_sent(
    make_database: MakeDatabase, tables: FreshDatabase
) -> None:
    app, keeper = app_with(make_database())

    @app.get("/sneaky")
    async def sneaky(session: Annotated[AsyncSession, keeper.read]) -> None:
        await session.execute(text("WITH x AS (INSERT INTO note VALUES (1) RETURNING id) SELECT * FROM x"))

    with serve(app) as served:
        assert httpx.get(f"{served.url}/sneaky").status_code == 500
    assert rows(tables, "note") == 0
