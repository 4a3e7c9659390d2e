"""What `orders.database` is without poolkeeper: the names that the service uses, in SQLAlchemy's and FastAPI's own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import uuid4

from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from poolkeeper.drill.stacks import POOL_MODE


def url() -> str:
    return os.environ["DATABASE_URL"]


def setting(name: str) -> float:
    """A number that `Stack.environment` has set. Raises KeyError when it has not."""
    return float(os.environ[f"DRILL_{name.upper()}"])


def connect_args(**given: Any) -> dict[str, Any]:
    """Arguments for asyncpg, and those that SQLAlchemy's page on it asks for where a pooler shares server connections.

    https://docs.sqlalchemy.org/en/21/dialects/postgresql.html#prepared-statement-name-with-pgbouncer
    """
    if os.environ.get(POOL_MODE) != "transaction":
        return given
    nothing_kept = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    return {**nothing_kept, "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__", **given}


class StockDatabase:
    """An engine with its sessions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def get_db(self) -> AsyncIterator[AsyncSession]:
        """The dependency that tutorials show."""
        async with self._sessions() as session:
            yield session
            await session.commit()

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[AsyncSession]:
        async with self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def read_session(self) -> AsyncGenerator[AsyncSession]:
        async with self._sessions() as session:
            yield session


class StockKeeper:
    """The session as a dependency, and the end of the engine. One dependency reads and writes."""

    def __init__(self, database: StockDatabase, scope: Literal["function", "request"] = "request") -> None:
        self._database = database
        self.get_db: Any = Depends(database.get_db, scope=scope)

    def install(self, app: FastAPI) -> None:
        inner: Any = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncGenerator[Any]:
            async with inner(app) as state:
                yield state
            await self._database.engine.dispose()

        app.router.lifespan_context = lifespan
        app.router.routes.insert(0, Route("/health/ready", _ready, include_in_schema=False))


async def _ready(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ready"})
