"""A service on a primary and its replicas, and beside it reads that go to any replica, as others route them."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from poolkeeper import Database
from poolkeeper.fastapi import Keeper

db = Database.from_env(pool_size=5, min_idle=1)
keeper = Keeper(db, page=None, metrics=None, read_your_writes="cookie")
WriteDB = Annotated[AsyncSession, keeper.write]
ReadDB = Annotated[AsyncSession, keeper.read]
anywhere = [create_async_engine(url.secret) for url in db.settings.replica_urls]
INSERT = text("INSERT INTO note (body) VALUES ('') RETURNING id")
FOUND = text("SELECT count(*), current_setting('port')::int FROM note WHERE id = :id")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield
    for engine in anywhere:
        await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/notes")
async def add(session: WriteDB) -> dict[str, int]:
    return {"id": await session.scalar(INSERT) or 0, "pid": os.getpid()}


@app.get("/notes/{number}")
async def read(number: int, session: ReadDB) -> dict[str, int]:
    return _told((await session.execute(FOUND, {"id": number})).one())


@app.get("/anywhere/{number}")
async def read_anywhere(number: int) -> dict[str, int]:
    async with random.choice(anywhere).connect() as connection:
        return _told((await connection.execute(FOUND, {"id": number})).one())


def _told(row: Any) -> dict[str, int]:
    return {"found": row[0], "port": row[1], "pid": os.getpid()}


keeper.install(app)
