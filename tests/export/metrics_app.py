"""A small service for several workers."""

import os
from typing import Annotated, Any

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from poolkeeper import Database
from poolkeeper.fastapi import Keeper

database = Database.from_env(name="orders")
keeper = Keeper(database)
app = FastAPI()
keeper.install(app)
held: list[Any] = []


@app.get("/work")
async def work(session: Annotated[AsyncSession, keeper.write]) -> int:
    await session.execute(text("SELECT 1"))
    return os.getpid()


@app.get("/hold")
async def hold() -> int:
    connection = await database.engine.connect()
    await connection.execute(text("SELECT 1"))
    held.append(connection)
    return os.getpid()
