"""Starlette's TestClient, as test suites use it: a new event loop for each request, or for each block."""

import warnings
from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase, left_after_a_moment

from poolkeeper import Database
from poolkeeper.fastapi import Keeper

with warnings.catch_warnings():
    # It would rather have a library of its own than httpx.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

MakeDatabase = Callable[..., Database]


def app_with(database: Database) -> FastAPI:
    app, keeper = FastAPI(), Keeper(database)
    keeper.install(app)

    @app.get("/one")
    async def one(session: Annotated[AsyncSession, keeper.read]) -> int:
        return int(await session.scalar(text("SELECT 1")) or 0)

    return app


def test_a_client_that_runs_no_lifespan_may_ask_often(make_database: MakeDatabase, tables: FreshDatabase) -> None:
    client = TestClient(app_with(make_database(min_idle=2)))
    assert [client.get("/one").json() for _ in range(5)] == [1] * 5
    # Each request has left its connections behind with its event loop; they are cut off when the next one comes.
    assert len(left_after_a_moment(lambda: tables.activity()[3:])) == 0
    tables.may_leave_backends = True


def test_an_app_may_be_entered_again_and_again(make_database: MakeDatabase, tables: FreshDatabase) -> None:
    app = app_with(make_database(min_idle=2))
    for _ in range(3):
        with TestClient(app) as client:
            assert [client.get("/one").json() for _ in range(3)] == [1] * 3
            assert client.get("/health/ready").status_code == 200
    assert left_after_a_moment(tables.activity) == []
