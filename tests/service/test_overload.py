"""What clients of a service are told when its pool is full."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import StreamingResponse
from tests.servers import FreshDatabase
from tests.service.served import serve, wait_until
from tests.service.test_problems import app_with, problem, wake

from poolkeeper import Database, PoolSaturated
from poolkeeper.fastapi import Keeper
from poolkeeper.fastapi.problems import problem_of
from poolkeeper.pool import current_caller


def test_a_caller_that_is_refused_is_told_when_to_come_back(
    make_database: Callable[..., Database], tables: FreshDatabase
) -> None:
    database = make_database(pool_size=1, max_waiting=1)
    with serve(app_with(database)) as served:
        threads = []
        for there in (lambda: database.snapshot().in_use == 1, lambda: database.snapshot().waiting == 1):
            threads.append(threading.Thread(target=httpx.get, args=(f"{served.url}/sleep/20",), kwargs={"timeout": 50}))
            threads[-1].start()
            wait_until(there)
        refused = httpx.get(f"{served.url}/sleep/0")
        for thread in threads:
            wait_until(lambda: bool(tables.activity("state = 'active'")))
            wake(tables)
            thread.join()
    assert problem(refused) == "pool-saturated"
    assert int(refused.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(("seconds", "told"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.1, 2), (7.5, 8)])
def test_the_time_to_come_back_is_in_whole_seconds(seconds: float, told: int) -> None:
    answer = problem_of(PoolSaturated("full", retry_after=seconds))
    assert answer is not None
    assert answer.retry_after == told


@pytest.mark.slow
def test_requests_that_wait_for_each_other_are_answered_long_before_their_callers_leave(
    make_database: Callable[..., Database],
) -> None:
    size, patience = 3, 20.0
    database = make_database(pool_size=size, client_timeout=patience)
    app, keeper = FastAPI(), Keeper(database)
    keeper.install(app)

    @app.get("/nested")
    async def nested(session: Annotated[AsyncSession, keeper.read]) -> int:
        await session.execute(text("SELECT pg_sleep(0.05)"))
        async with database.read_session() as second:
            return int(await second.scalar(text("SELECT 1")) or 0)

    with serve(app) as served, ThreadPoolExecutor(4 * size) as callers:
        url = f"{served.url}/nested"
        answers = list(callers.map(lambda _: httpx.get(url, timeout=patience), range(4 * size)))
        assert database.snapshot().in_use == 0
    assert max(answer.elapsed.total_seconds() for answer in answers) < patience / 2
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) >= size
    assert set(statuses) <= {200, 503}
    assert all(problem(answer) == "pool-saturated" for answer in answers if answer.status_code == 503)


def test_somebody_waits_for_a_request_until_its_answer_begins(make_database: Callable[..., Database]) -> None:
    app, keeper = FastAPI(), Keeper(make_database())
    keeper.install(app)
    seen: dict[str, bool] = {}

    def look(where: str) -> None:
        caller = current_caller.get()
        seen[where] = caller is not None and caller.waits

    async def in_a_task() -> None:
        look("task")

    @app.get("/stream")
    async def stream(background: BackgroundTasks) -> StreamingResponse:
        look("endpoint")
        await asyncio.create_task(in_a_task())
        background.add_task(look, "background")

        async def body() -> AsyncIterator[bytes]:
            look("stream")
            yield b""

        return StreamingResponse(body(), background=background)

    with serve(app) as served:
        httpx.get(f"{served.url}/stream")
        wait_until(lambda: "background" in seen)
    assert seen == {"endpoint": True, "task": True, "stream": False, "background": False}
    assert current_caller.get() is None
