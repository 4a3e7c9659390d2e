"""An app with the page, as `Keeper` would install it."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import httpx
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase
from tests.service.served import Served

from poolkeeper import Database
from poolkeeper.fastapi import Keeper
from poolkeeper.testing import EmbeddedPostgres

PATH = "/poolkeeper"
REPORTS = "state = 'active' AND query LIKE 'SELECT pg_sleep(%hunter2-literal%' AND pid <> pg_backend_pid()"


def app_with_page(database: Database, *, findings: Any = None, dependency: Any = None) -> FastAPI:
    """Endpoints that hold connections in different ways, below the page."""
    app, keeper = FastAPI(), Keeper(database, page_dependency=dependency)
    if findings is not None:
        setattr(database.explaining, "findings", findings)  # noqa: B010 - a method, for mypy
    add_endpoints(app, keeper)
    keeper.install(app)
    return app


def release(served: Served, server: EmbeddedPostgres | FreshDatabase) -> None:
    """End the reports and payments that run, before their time is over."""
    httpx.get(f"{served.url}/paid", timeout=30)
    server.query(f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {REPORTS}")


def add_endpoints(app: FastAPI, keeper: Keeper) -> None:
    leaked: list[Any] = []
    paid = asyncio.Event()

    @app.get("/orders/{number}")
    async def order(number: int, session: Annotated[AsyncSession, keeper.read]) -> int:
        return int((await session.execute(text("SELECT :number"), {"number": str(number)})).scalar_one())

    @app.get("/reports/{seconds}")
    async def report(seconds: float, session: Annotated[AsyncSession, keeper.write]) -> None:
        await session.execute(text("SELECT pg_sleep(:seconds), 'hunter2-literal'"), {"seconds": seconds})

    @app.get("/payments/{seconds}")
    async def payment(seconds: float, session: Annotated[AsyncSession, keeper.write]) -> None:
        await session.execute(text("SELECT 1"))
        with suppress(TimeoutError):
            await asyncio.wait_for(paid.wait(), seconds)

    @app.get("/paid")
    async def pay() -> None:
        paid.set()

    @app.get("/leaks")
    async def leak() -> None:
        connection = await keeper.database.engine.connect()
        leaked.append(connection)
        await connection.execute(text("SELECT 1"))

    @app.get("/mended")
    async def mended() -> None:
        while leaked:
            await leaked.pop().close()
