"""A pool belongs to one event loop of one process at a time, and to the next one when that has ended."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fastapi import FastAPI
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tests.pool.places import PATIENCE, assert_soon_conserved
from tests.servers import FreshDatabase

from poolkeeper.pool import KeeperPool
from poolkeeper.testing import assert_conserved

with warnings.catch_warnings():
    # Starlette's is deprecated with one HTTP client, and Starlette's older versions know no other.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

Run = Callable[[Coroutine[Any, Any, Any]], Any]

pytestmark = [
    pytest.mark.parametrize("driver", ["asyncpg", "psycopg"]),
    # A loop that ends with open connections is the point here. uvloop warns, and hangs if the warning is an error.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@pytest.fixture
def engine(driver: str, fresh_database: FreshDatabase) -> AsyncEngine:
    return create_async_engine(
        fresh_database.url(driver), poolclass=KeeperPool, pool_size=2, max_overflow=0, min_idle=1
    )


async def use(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def use_together(engine: AsyncEngine) -> None:
    await asyncio.wait_for(asyncio.gather(*(use(engine) for _ in range(10))), PATIENCE)


@on_both_loops
def test_one_loop_after_the_other(run: Run, engine: AsyncEngine, fresh_database: FreshDatabase) -> None:
    for _ in range(3):
        run(use_together(engine))
    run(engine.dispose())
    assert_conserved(engine.pool)


@on_both_loops
def test_a_loop_that_ended_leaves_no_session_behind(
    run: Run, engine: AsyncEngine, fresh_database: FreshDatabase
) -> None:
    run(use_together(engine))

    async def again() -> None:
        await use(engine)
        await assert_soon_conserved(engine.pool, lambda: len(fresh_database.activity()))
        await engine.dispose()

    run(again())


@on_both_loops
def test_a_loop_ends_while_somebody_waits(run: Run, engine: AsyncEngine) -> None:
    async def leave_in_the_middle() -> None:
        held = [await engine.connect() for _ in range(2)]
        waiting = asyncio.create_task(use(engine))
        await asyncio.sleep(0.01)
        assert engine.pool.checkedout() == len(held)
        assert not waiting.done()

    with warnings.catch_warnings():
        # Whoever leaves in the middle hears of it, from SQLAlchemy and from some drivers.
        warnings.simplefilter("ignore")
        run(leave_in_the_middle())
        gc.collect()
    run(use_together(engine))
    run(engine.dispose())


def test_testclient_twice(engine: AsyncEngine, fresh_database: FreshDatabase) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def pid() -> int:
        return await use(engine)

    for _ in range(2):
        with TestClient(app) as client:
            assert {client.get("/").status_code for _ in range(5)} == {200}


def test_testclient_without_a_lifespan_has_a_loop_per_request(engine: AsyncEngine) -> None:
    app = FastAPI()

    @app.get("/")
    async def pid() -> int:
        return await use(engine)

    client = TestClient(app)
    assert {client.get("/").status_code for _ in range(5)} == {200}
    asyncio.run(engine.dispose())
    # psycopg closes what a loop's end has cancelled half open when it is forgotten.
    gc.collect()


def test_two_running_loops_are_told_apart(engine: AsyncEngine) -> None:
    is_used, may_end = threading.Event(), threading.Event()

    async def first() -> None:
        await use(engine)
        is_used.set()
        await asyncio.to_thread(may_end.wait, PATIENCE)
        await use(engine)
        await engine.dispose()

    thread = threading.Thread(target=asyncio.run, args=(first(),))
    thread.start()
    try:
        assert is_used.wait(PATIENCE)
        with pytest.raises(exc.InvalidRequestError, match="another event loop that still runs"):
            asyncio.run(use(engine))
    finally:
        may_end.set()
        thread.join()


LOOP_PER_TEST = """
    import os
    import pytest
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from poolkeeper.pool import KeeperPool

    engine = create_async_engine(os.environ["DATABASE"], poolclass=KeeperPool, pool_size=1, max_overflow=0)

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.anyio
    @pytest.mark.parametrize("number", range(4))
    async def test_it(number):
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
"""


@pytest.mark.slow
def test_a_loop_per_test(driver: str, fresh_database: FreshDatabase, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(textwrap.dedent(LOOP_PER_TEST))
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"DATABASE": fresh_database.url(driver)},
        cwd=tmp_path,
        check=False,
    )
    assert "4 passed" in result.stdout, result.stdout + result.stderr


FORK = """
    import asyncio, gc, os, sys
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from poolkeeper.pool import KeeperPool

    engine = create_async_engine(sys.argv[1], poolclass=KeeperPool, pool_size=2, max_overflow=0)
    pids = text("SELECT pg_backend_pid()")

    async def use():
        async with engine.connect() as connection:
            return (await connection.execute(pids)).scalar_one()

    with asyncio.Runner() as runner:
        mine = runner.run(use())
        child = os.fork()
        if not child:
            theirs = asyncio.run(use())
            asyncio.run(engine.dispose())
            gc.collect()
            os._exit(0 if theirs != mine else 3)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        assert runner.run(use()) == mine
        runner.run(engine.dispose())
"""


def test_after_a_fork_each_process_has_its_own(driver: str, fresh_database: FreshDatabase) -> None:
    script = textwrap.dedent(FORK)
    command = [sys.executable, "-W", "error", "-c", script, fresh_database.url(driver)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
