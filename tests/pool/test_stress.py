"""A PostgreSQL that is killed and restarted under random load: nobody is forgotten, and afterwards all is as before."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from tests.pool.places import ONE, PATIENCE, all_of, assert_soon_conserved

from poolkeeper.pool import KeeperPool
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

CAPACITY = 5
TIMEOUT = 4.0
# What a task's turn on a busy machine may add to a deadline.
_SLACK = 3.0


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(max_connections=50) as server:
        yield server


class Stress:
    """Clients in a loop, faults beside them, all from one seed."""

    def __init__(self, engine: AsyncEngine, server: EmbeddedPostgres, proxy: FaultProxy, seed: int) -> None:
        self._engine = engine
        self._server = server
        self._proxy = proxy
        self._dice = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.waits: list[float] = []

    async def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._break(end))
            for _ in range(4 * CAPACITY):
                group.create_task(self._serve(end))
        self._proxy.heal()

    async def _serve(self, end: float) -> None:
        while time.monotonic() < end:
            try:
                async with asyncio.timeout(self._dice.choice([None, None, 0.001, 0.01, 0.1])):
                    await self._use()
                self.outcomes["served"] += 1
            except Exception as error:
                self.outcomes[type(error).__name__] += 1
                await asyncio.sleep(0.005)

    async def _use(self) -> None:
        began = time.monotonic()
        waited = None
        try:
            async with self._engine.connect() as connection:
                waited = time.monotonic() - began
                await self._work(connection)
        finally:
            self.waits.append(time.monotonic() - began if waited is None else waited)

    async def _work(self, connection: AsyncConnection) -> None:
        await connection.execute(ONE)
        if self._dice.random() < 0.2:
            await connection.execute(text(f"SELECT pg_sleep({self._dice.random() / 50})"))
        if self._dice.random() < 0.05:
            await connection.invalidate()
        elif self._dice.random() < 0.3:
            await connection.commit()

    async def _break(self, end: float) -> None:
        faults = [self._proxy.reset, self._proxy.close_all, self._terminate, self._refuse, self._restart]
        while time.monotonic() < end:
            await asyncio.sleep(self._dice.uniform(0.1, 0.6))
            await asyncio.to_thread(self._dice.choice(faults))
            self._engine.pool.resize(self._dice.choice([CAPACITY - 2, CAPACITY]))  # type: ignore[attr-defined]

    def _terminate(self) -> None:
        self._server.terminate_backends("random() < 0.5")

    def _refuse(self) -> None:
        self._proxy.refuse()
        time.sleep(0.2)
        self._proxy.heal()

    def _restart(self) -> None:
        self._server.kill()
        self._server.start()


async def stress(server: EmbeddedPostgres, proxy: FaultProxy, driver: str, seconds: float) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    engine = create_async_engine(
        proxy.url(server.url(driver)),
        poolclass=KeeperPool,
        pool_size=CAPACITY,
        max_overflow=0,
        pool_timeout=TIMEOUT,
        min_idle=1,
        ping_after=0.5,
        pool_recycle=5,
    )
    run = Stress(engine, server, proxy, seed)
    await run.run(seconds)
    print(run.outcomes, f"longest wait {max(run.waits):.3f} s")
    assert run.outcomes["served"] > 0
    assert max(run.waits) < TIMEOUT + _SLACK
    pool = engine.pool
    assert isinstance(pool, KeeperPool)
    pool.resize(CAPACITY)
    async with all_of(engine, 1):
        pass
    async with all_of(engine, CAPACITY):
        await assert_soon_conserved(pool, lambda: len(server.activity()))
    await assert_soon_conserved(pool, lambda: len(server.activity()))
    assert pool.checkedout() == 0
    await asyncio.wait_for(engine.dispose(), PATIENCE)
    await assert_soon_conserved(pool, lambda: len(server.activity()))


@pytest.mark.parametrize(
    ("driver", "seconds"),
    [
        ("asyncpg", 2),
        pytest.param("asyncpg", 30, marks=pytest.mark.slow),
        pytest.param("psycopg", 15, marks=pytest.mark.slow),
    ],
)
def test_killed_and_restarted(server: EmbeddedPostgres, driver: str, seconds: float) -> None:
    with FaultProxy(server.host, server.port) as proxy:
        asyncio.run(stress(server, proxy, driver, seconds))
