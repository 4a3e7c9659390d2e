"""What a Keeper does to an app, with no database behind it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.exceptions import DependencyScopeError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from tests.service.served import serve
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from poolkeeper import Database
from poolkeeper.database import State
from poolkeeper.fastapi import HealthPaths, Keeper


@pytest.fixture
def keeper(closed_port: int) -> Keeper:
    """A Keeper whose database refuses connections."""
    return Keeper(Database(f"postgresql+asyncpg://me@127.0.0.1:{closed_port}/x", min_idle=0, connect_grace=0))


def lifespan_that_notes(database: Database, notes: list[object], state: dict[str, int] | None = None) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, int] | None]:
        notes.append(("startup", database.state))
        yield state
        notes.append(("shutdown", database.state))

    return lifespan


INSIDE = [("startup", State.READY), ("shutdown", State.READY)]


def test_the_apps_lifespan_runs_inside_an_open_database(keeper: Keeper) -> None:
    notes: list[object] = []
    app = FastAPI(lifespan=lifespan_that_notes(keeper.database, notes))
    keeper.install(app)
    assert keeper.database.state is State.NEW
    with serve(app) as served:
        assert httpx.get(f"{served.url}/health/ready").json() == {"status": "ready"}
    assert notes == INSIDE
    assert keeper.database.state is State.CLOSED


def test_what_blocks_the_loop_while_the_app_starts_is_not_held_against_it(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/notes.db")
    late = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
        time.sleep(1.5)  # noqa: ASYNC251 - this is what it is about
        late.append(lag_of(database))
        yield

    def lag_of(database: Database) -> float:
        lag = database.snapshot().loop_lag
        assert lag is not None
        return lag.recent

    app = FastAPI(lifespan=lifespan)
    Keeper(database).install(app)
    with serve(app) as served:
        httpx.get(f"{served.url}/health/ready")
        late.append(lag_of(database))
    assert late[0] >= 1.3 > 1 > late[1]


def test_routers_and_other_libraries_lifespans_run_inside_too(keeper: Keeper) -> None:
    notes: list[object] = []
    app = FastAPI(lifespan=lifespan_that_notes(keeper.database, notes))
    keeper.install(app)
    app.include_router(APIRouter(lifespan=lifespan_that_notes(keeper.database, notes)))
    with serve(app):
        pass
    assert notes == [INSIDE[0], INSIDE[0], INSIDE[1], INSIDE[1]]


def test_the_state_of_the_apps_lifespan_reaches_its_requests(keeper: Keeper) -> None:
    app = FastAPI(lifespan=lifespan_that_notes(keeper.database, [], {"answer": 42}))
    keeper.install(app)

    @app.get("/answer")
    async def answer(request: Request) -> int:
        return int(request.state.answer)

    with serve(app) as served:
        assert httpx.get(f"{served.url}/answer").json() == 42


def test_a_lifespan_that_fails_still_closes_the_database(keeper: Keeper) -> None:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no cache server")
        yield

    app = FastAPI(lifespan=lifespan)
    keeper.install(app)

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pass

    with pytest.raises(RuntimeError, match="no cache server"):
        asyncio.run(start())
    assert keeper.database.state is State.CLOSED


def test_the_lifespan_alone_starts_and_closes_the_database_and_adds_nothing(keeper: Keeper) -> None:
    app = FastAPI(lifespan=keeper.lifespan)
    with serve(app) as served:
        assert keeper.database.state is State.READY
        assert httpx.get(f"{served.url}/health/live").status_code == 404
    assert keeper.database.state is State.CLOSED


@pytest.mark.parametrize("explicit", [False, True])
def test_the_database_is_started_once_however_it_is_installed(
    keeper: Keeper, explicit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    start, close = keeper.database.start, keeper.database.close

    async def counted_start() -> None:
        calls.append("start")
        await start()

    async def counted_close() -> bool:
        calls.append("close")
        return await close()

    monkeypatch.setattr(keeper.database, "start", counted_start)
    monkeypatch.setattr(keeper.database, "close", counted_close)
    app = FastAPI(lifespan=keeper.lifespan) if explicit else FastAPI()
    keeper.install(app)
    with serve(app):
        pass
    assert calls == ["start", "close"]


def test_an_app_can_be_started_again(keeper: Keeper) -> None:
    app = FastAPI()
    keeper.install(app)
    for _ in range(2):
        with serve(app) as served:
            assert httpx.get(f"{served.url}/health/ready").status_code == 200


def test_health_routes_stand_before_catch_alls_and_mounts(keeper: Keeper, tmp_path: Path) -> None:
    app = FastAPI()

    @app.get("/{path:path}")
    async def everything(path: str) -> str:
        return path

    app.router.routes.insert(0, Mount("/", StaticFiles(directory=tmp_path)))
    keeper.install(app)
    with serve(app) as served:
        assert httpx.get(f"{served.url}/health/live").json() == {"status": "alive"}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (HealthPaths(), ["/health/live", "/health/ready", "/health/db"]),
        (HealthPaths(live="/livez", db=None), ["/livez", "/health/ready"]),
        (HealthPaths(live=None, ready=None, db=None), []),
    ],
)
def test_each_health_route_can_be_moved_and_left_out(keeper: Keeper, paths: HealthPaths, expected: list[str]) -> None:
    app = FastAPI(openapi_url=None)
    Keeper(keeper.database, health=paths, page=None, metrics=None).install(app)
    assert [route.path for route in app.routes] == expected  # type: ignore[attr-defined]


def test_health_routes_are_not_in_the_schema(keeper: Keeper) -> None:
    app = FastAPI()
    keeper.install(app)
    assert app.openapi()["paths"] == {}


@pytest.mark.slow
def test_a_websocket_that_gets_no_connection_is_closed_with_try_again_later(keeper: Keeper) -> None:
    app = FastAPI()
    keeper.install(app)

    @app.websocket("/chat")
    async def chat(websocket: WebSocket, session: Annotated[AsyncSession, keeper.write]) -> None:
        await websocket.accept()
        await session.execute(text("SELECT 1"))

    closed_by_peer = pytest.raises(ConnectionClosedError)
    with (
        serve(app) as served,
        connect(f"ws://127.0.0.1:{served.port}/chat", proxy=None) as chatting,
        closed_by_peer as closed,
    ):
        chatting.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
    assert closed.value.rcvd.reason == "The database refuses connections."


@pytest.mark.parametrize("kind", ["write", "read", "sync_write", "sync_read"])
def test_each_dependency_can_be_overridden(keeper: Keeper, kind: str) -> None:
    app = FastAPI()
    keeper.install(app)
    ended: list[str] = []

    @app.get("/which")
    async def which(session: Annotated[Any, getattr(keeper, kind)]) -> str:
        assert ended == []
        return str(session)

    def override() -> Iterator[str]:
        yield "mine"
        ended.append(kind)

    app.dependency_overrides[getattr(keeper, kind).dependency] = override
    with serve(app) as served:
        assert httpx.get(f"{served.url}/which").json() == "mine"
    assert ended == [kind]


def test_a_dependency_that_would_outlive_the_session_is_refused_at_once(keeper: Keeper) -> None:
    async def outer(session: Annotated[AsyncSession, keeper.write]) -> AsyncIterator[AsyncSession]:
        yield session

    app = FastAPI()
    with pytest.raises(DependencyScopeError):

        @app.get("/late")
        async def late(session: Annotated[AsyncSession, Depends(outer)]) -> None: ...


def test_a_request_after_shutdown_is_told_so(keeper: Keeper) -> None:
    app = FastAPI()
    keeper.install(app)

    @app.get("/late")
    async def late(session: Annotated[AsyncSession, keeper.write]) -> None: ...

    with serve(app) as served:
        asyncio.run(keeper.database.close())
        response = httpx.get(f"{served.url}/late")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:poolkeeper:problem:shutting-down"
