"""Clients that hang up leave no slot out of the pool and no backend behind."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from tests.servers import FreshDatabase
from tests.service.served import serve

from poolkeeper import Database
from poolkeeper.fastapi import Keeper

ABORTS = 250  # for each of the four ways: 1,000 for each driver
AT_ONCE = 25
POOL_SIZE = 5


async def passed_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


def aborted_app(database: Database, *, with_middleware: bool) -> FastAPI:
    app, keeper = FastAPI(), Keeper(database)
    if with_middleware:
        app.add_middleware(BaseHTTPMiddleware, dispatch=passed_on)
    keeper.install(app)

    @app.get("/plain")
    async def plain(session: Annotated[AsyncSession, keeper.write]) -> int:
        await session.execute(text("SELECT pg_sleep(0.005)"))
        await session.execute(text("INSERT INTO note SELECT coalesce(max(id), 0) + 1 FROM note ON CONFLICT DO NOTHING"))
        return 1

    @app.get("/stream")
    async def stream(session: Annotated[AsyncSession, keeper.read]) -> StreamingResponse:
        await session.execute(text("SELECT 1"))

        async def body() -> AsyncIterator[str]:
            for _ in range(4):
                async with database.read_session() as own:
                    line = await own.scalar(text("SELECT pg_sleep(0.003)::text"))
                yield f"{line}\n"

        return StreamingResponse(body())

    return app


async def abort(port: int, path: str, gate: asyncio.Semaphore, dice: random.Random) -> None:
    async with gate:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await asyncio.sleep(dice.random() * 0.03)
        writer.transport.abort()


async def abort_many(port: int, path: str, seed: int) -> None:
    dice, gate = random.Random(seed), asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(abort(port, path, gate, dice) for _ in range(ABORTS)))


@pytest.mark.slow
@pytest.mark.parametrize("with_middleware", [False, True])
@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_a_thousand_aborts_leave_no_slot_out_and_no_backend_behind(
    tables: FreshDatabase, driver: str, path: str, with_middleware: bool
) -> None:
    database = Database(tables.url(driver), pool_size=POOL_SIZE, pool_timeout=30, min_idle=0)
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    with serve(aborted_app(database, with_middleware=with_middleware)) as served:
        asyncio.run(abort_many(served.port, path, seed))
        deadline = time.monotonic() + 20
        # A plain handler runs on when its client is gone, so what is to be counted is over when all requests are.
        while served.requests_under_way and time.monotonic() < deadline:
            time.sleep(0.05)
        assert database.snapshot().holders == ()
        # A query cut off in the middle may take the server a moment to notice.
        while tables.activity("state <> 'idle'") and time.monotonic() < deadline:
            time.sleep(0.05)
        backends = tables.activity()
        assert {backend.state for backend in backends} <= {"idle"}
        assert len(backends) == database.snapshot().idle <= POOL_SIZE
