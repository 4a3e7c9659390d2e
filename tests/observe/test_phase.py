"""How far a request is, as its holder tells."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.servers import FreshDatabase
from tests.service.served import serve

from poolkeeper import Database, Holder
from poolkeeper.fastapi import Keeper
from poolkeeper.model import Phase

SELECT = text("SELECT 1")


@pytest.fixture
def seen() -> list[Holder]:
    return []


@pytest.fixture
def app(fresh_database: FreshDatabase, seen: list[Holder]) -> FastAPI:
    database = Database(fresh_database.url(), min_idle=0)
    keeper = Keeper(database)
    app = FastAPI()
    keeper.install(app)
    WriteDB = Annotated[AsyncSession, keeper.write]

    async def note_the_holder() -> None:
        async with database.session() as session:
            await session.execute(SELECT)
            seen.extend(database.snapshot().holders)

    @app.get("/orders/{order_id}")
    async def order(order_id: int, session: WriteDB, later: BackgroundTasks) -> dict[str, Any]:
        await session.execute(SELECT)
        seen.extend(database.snapshot().holders)
        later.add_task(note_the_holder)
        return {}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "first\n"
            await note_the_holder()
            yield "second\n"

        return StreamingResponse(lines())

    return app


def test_a_request_is_handled_then_answered_and_what_follows_is_in_the_background(
    app: FastAPI, seen: list[Holder]
) -> None:
    with serve(app) as served:
        assert httpx.get(f"{served.url}/orders/7").status_code == 200
        assert httpx.get(f"{served.url}/stream").text == "first\nsecond\n"
    handling, after, streaming = seen
    assert (handling.phase, handling.route) == (Phase.HANDLING, "GET /orders/{order_id}")
    assert handling.site is not None
    assert handling.site.endswith("in order")
    assert (after.phase, after.route) == (Phase.RESPONDED, "GET /orders/{order_id}")
    assert (streaming.phase, streaming.route) == (Phase.RESPONDING, "GET /stream")
