"""The service that is overloaded: one route, which holds a connection for 50 ms. BENCH_POOL describes its pool."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from poolkeeper.pool import KeeperPool

POOLS = {"stock": None, "KeeperPool": KeeperPool}

options = json.loads(os.environ["BENCH_POOL"])
engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=POOLS[options.pop("pool")], **options)
sessions = async_sessionmaker(engine)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(exc.TimeoutError)
async def no_connection(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": type(error).__name__}, status_code=503)


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {}


@app.get("/work")
async def work() -> dict[str, str]:
    async with sessions() as session:
        await session.execute(text("SELECT pg_sleep(0.05)"))
        await session.commit()
    return {}
