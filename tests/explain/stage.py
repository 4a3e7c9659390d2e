"""What scenarios play on: a real PostgreSQL, the example service in a process of its own, and callers."""

from __future__ import annotations

import itertools
import os
import pickle
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.from_thread import start_blocking_portal
from tests.servers import FreshDatabase, PgBouncer, server_folder

from poolkeeper.drill import Service, reference_service
from poolkeeper.model import PoolSnapshot, ServerFacts
from poolkeeper.testing import EmbeddedPostgres

HERE = Path(__file__).parent
# A service in trouble does not stop by itself: its requests wait for what never comes.
GRACE = 0.5

Ask = Callable[[httpx.AsyncClient, int], Any]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Evidence:
    """What was known at the moment of the look, and what the service made of it for a caller on this machine."""

    window: tuple[PoolSnapshot, ...]
    facts: ServerFacts | None
    unanswered: bool
    findings: list[dict[str, Any]] = field(repr=False)


@dataclass(frozen=True)
class Stage:
    """One run of one scenario."""

    postgres: EmbeddedPostgres
    folder: Path

    @contextmanager
    def database(self, options: str = "") -> Iterator[FreshDatabase]:
        """A database of our own, dropped with all sessions that are left."""
        name = f"explain_{os.getpid()}_{next(_numbers)}"
        self.postgres.execute(f'CREATE DATABASE "{name}" STRATEGY = FILE_COPY {options}')
        try:
            yield FreshDatabase(self.postgres, name)
        finally:
            self.postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    @contextmanager
    def pooler(self, **settings: object) -> Iterator[PgBouncer]:
        with server_folder(PgBouncer.RUN_AS) as folder, closing(PgBouncer(self.postgres, folder, settings)) as pooler:
            pooler.start()
            yield pooler

    @contextmanager
    def service(
        self, url: str, faults: str = "", environment: Mapping[str, str] | None = None, **settings: object
    ) -> Iterator[Service]:
        """The service with a pool of three, which opens connections when they are needed."""
        given: dict[str, object] = {"pool_size": 3, "min_idle": 0, "pool_timeout": 20, "drain_timeout": 0.1, **settings}
        variables = {f"DATABASE_{name.upper()}": str(value) for name, value in given.items()}
        variables |= {"PYTHONPATH": str(reference_service()), "ORDERS_FAULTS": faults, **(environment or {})}
        app = "recorded_app:app"
        with Service(url, self.folder, environment=variables, app=app, app_dir=HERE, grace=GRACE) as service:
            yield service


@contextmanager
def callers(service: Service, number: int, ask: Ask) -> Generator[None]:
    """So many callers who ask again and again, until the block ends; each has a number of its own, from 1."""

    async def one(client: httpx.AsyncClient, which: int) -> None:
        while True:
            try:
                await ask(client, which)
            except httpx.HTTPError:
                await anyio.sleep(0.05)

    async def crowd() -> None:
        # Who reads slowly is noticed soon: the kernel takes little for him.
        narrow = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
        transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None), socket_options=narrow)
        async with (
            httpx.AsyncClient(base_url=service.address, timeout=60, transport=transport) as client,
            anyio.create_task_group() as group,
        ):
            for which in range(1, number + 1):
                group.start_soon(one, client, which)

    with start_blocking_portal() as portal:
        future = portal.start_task_soon(crowd)
        try:
            yield
        finally:
            future.cancel()
            with suppress(CancelledError):
                future.result(10)


def get(path: str) -> Ask:
    """Asks for a path, in which {n} is the caller's number."""
    return lambda client, which: client.get(path.format(n=which))


def post(path: str, body: Callable[[int], object]) -> Ask:
    return lambda client, which: client.post(path.format(n=which), json=body(which))


def look(service: Service) -> Evidence:
    """The findings as anybody on this machine gets them, and then what they rest on."""
    with httpx.Client(base_url=service.address, timeout=30) as client:
        findings = client.get("/health/db").json()["findings"]
        window, facts, unanswered = pickle.loads(client.get("/evidence").content)
    return Evidence(window, facts, unanswered, findings)
