"""SIGTERM: readiness turns, requests in flight finish, what does not finish is named, nothing stays behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.servers import FreshDatabase
from tests.service.served import wait_until

APP = """
    import asyncio, logging, os
    from contextlib import asynccontextmanager
    from typing import Annotated
    from fastapi import FastAPI
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import AsyncSession
    from poolkeeper import Database
    from poolkeeper.fastapi import Keeper

    logging.basicConfig(level=logging.INFO)
    db = Database.from_env()
    keeper = Keeper(db, shutdown_delay=float(os.environ.get("SHUTDOWN_DELAY", "0")))
    loose = set()

    @asynccontextmanager
    async def lifespan(app):
        async with db.session() as session:
            await session.execute(text("SELECT 1"))
        print("app started", flush=True)
        yield
        async with asyncio.timeout(5):
            print("app stopping while the database is", db.state, flush=True)

    app = FastAPI(lifespan=lifespan)
    keeper.install(app)

    @app.get("/sleep/{seconds}")
    async def sleep(seconds: float, session: Annotated[AsyncSession, keeper.write]) -> int:
        await session.execute(text("SELECT pg_sleep(:s)"), {"s": seconds})
        return os.getpid()

    @app.get("/loose/{seconds}")
    async def start_loose(seconds: float) -> None:
        async def work():
            async with db.session() as session:
                await session.execute(text("SELECT pg_sleep(:s)"), {"s": seconds})
                await session.execute(text("INSERT INTO note VALUES (1)"))
        loose.add(asyncio.create_task(work(), name="loose work"))
"""


@dataclass
class Service:
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    url: str = ""
    reader: threading.Thread = field(init=False)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                if "Uvicorn running on " in line:
                    self.url = line.split("Uvicorn running on ")[1].split(" ")[0]
                self.lines.append(line)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(timeout=10)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.ended()

    def ended(self) -> None:
        """Wait until it has ended, and all that it said is read."""
        self.process.wait(timeout=30)
        self.reader.join(timeout=10)


StartService = Callable[..., Service]


@pytest.fixture
def start_service(tables: FreshDatabase, driver: str, tmp_path: Path) -> Generator[StartService]:
    (tmp_path / "shutdown_app.py").write_text(textwrap.dedent(APP))
    services: list[Service] = []

    def start(*arguments: str, **environment: str) -> Service:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "shutdown_app:app",
                "--app-dir",
                str(tmp_path),
                "--port",
                "0",
                *arguments,
            ],
            env={**os.environ, "DATABASE_URL": tables.url(driver), **environment},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        service = Service(process)
        services.append(service)
        service.reader = threading.Thread(target=service.read, daemon=True)
        service.reader.start()
        wait_until(lambda: bool(service.url) and "startup complete" in service.output, 30)
        return service

    yield start
    for service in services:
        service.end()


@contextmanager
def request_in_flight(service: Service, path: str, tables: FreshDatabase) -> Generator[list[httpx.Response | None]]:
    answers: list[httpx.Response | None] = []

    def ask() -> None:
        try:
            answers.append(httpx.get(service.url + path, timeout=30))
        except httpx.HTTPError:
            answers.append(None)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: bool(tables.activity("query LIKE 'SELECT pg_sleep%' AND state = 'active'")))
    yield answers
    thread.join()


def test_a_request_in_flight_finishes_and_nothing_stays_behind(
    start_service: StartService, tables: FreshDatabase
) -> None:
    service = start_service()
    with request_in_flight(service, "/sleep/1.5", tables) as answers:
        service.terminate()
    assert answers[0] is not None
    assert answers[0].status_code == 200
    assert tables.activity() == []
    # The app's own startup used a session, and its shutdown ran while sessions were still given out.
    assert "Application startup complete" in service.output
    assert "Application shutdown complete" in service.output
    assert "cut off" not in service.output
    assert "Traceback" not in service.output


@pytest.mark.slow
def test_readiness_turns_while_the_server_still_accepts(start_service: StartService, tables: FreshDatabase) -> None:
    service = start_service(SHUTDOWN_DELAY="4")
    assert httpx.get(f"{service.url}/health/ready").status_code == 200
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: httpx.get(f"{service.url}/health/ready").status_code == 503)
    draining = httpx.get(f"{service.url}/health/ready").json()
    still_served = httpx.get(f"{service.url}/sleep/0").status_code
    service.ended()
    assert draining["reason"] == "draining"
    assert still_served == 200
    assert tables.activity() == []


def test_work_the_server_does_not_know_of_is_waited_for(start_service: StartService, tables: FreshDatabase) -> None:
    service = start_service()
    assert httpx.get(f"{service.url}/loose/0.8").status_code == 200
    service.terminate()
    assert tables.query("SELECT count(*) FROM note") == [("1",)]
    assert tables.activity() == []


def test_what_does_not_end_in_time_is_named_and_cut_off(start_service: StartService, tables: FreshDatabase) -> None:
    service = start_service(DATABASE_DRAIN_TIMEOUT="0.3")
    assert httpx.get(f"{service.url}/loose/60").status_code == 200
    wait_until(lambda: bool(tables.activity("state = 'active'")))
    started = time.monotonic()
    service.terminate()
    assert time.monotonic() - started < 20
    assert "cut off" in service.output
    assert "GET /loose/{seconds}" in service.output
    wait_until(lambda: tables.activity() == [])
    assert tables.query("SELECT count(*) FROM note") == [("0",)]


@pytest.mark.slow
def test_a_request_cut_off_by_the_server_comes_home_before_the_process_ends(
    start_service: StartService, tables: FreshDatabase
) -> None:
    service = start_service("--timeout-graceful-shutdown", "1")
    with request_in_flight(service, "/sleep/60", tables) as answers:
        service.terminate()
    assert answers[0] is None or answers[0].status_code >= 500
    assert "Application shutdown complete" in service.output
    # The statement was cancelled on the server, not left to run on.
    assert tables.activity("state = 'active'") == []


@pytest.mark.slow
def test_every_worker_ends_clean(start_service: StartService, tables: FreshDatabase) -> None:
    service = start_service("--workers", "2")
    wait_until(lambda: service.output.count("startup complete") == 2, 30)
    with request_in_flight(service, "/sleep/1.5", tables) as answers:
        service.terminate()
    assert answers[0] is not None
    assert answers[0].status_code == 200
    assert service.output.count("Application shutdown complete") == 2
    assert tables.activity() == []
