"""Where the pool tests run: on a scripted database in virtual time, and on a real PostgreSQL behind a slow network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from sqlalchemy import Pool, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from tests.servers import FreshDatabase

from poolkeeper.pool import KeeperPool
from poolkeeper.testing import FaultProxy, ScriptedDatabase, VirtualTimeLoop, assert_conserved

ONE = text("SELECT 1")
# Longer than anything here takes; only a test that fails waits for so long.
PATIENCE = 10.0
_LATENCY = 0.1
_STARTED = 0.03


class Place(Protocol):
    """A database whose answers can be held back."""

    statement: str

    def engine(self, **arguments: Any) -> AsyncEngine: ...

    def hold(self, kind: str) -> None:
        """Answer no `kind` of request ("connects", "pings", ...), or everything so late that it makes no difference."""
        ...

    def let_go(self) -> None: ...

    async def reached(self, kind: str) -> None:
        """Return once a request of this kind is held."""
        ...

    def open_on_server(self) -> int: ...


class Scripted:
    """A scripted database."""

    statement = "SELECT 1"

    def __init__(self) -> None:
        self.database = ScriptedDatabase()

    def engine(self, **arguments: Any) -> AsyncEngine:
        return self.database.engine(poolclass=KeeperPool, **arguments)

    def hold(self, kind: str) -> None:
        getattr(self.database, kind).hang()

    def let_go(self) -> None:
        self.database.heal()

    async def reached(self, kind: str) -> None:
        script = getattr(self.database, kind)
        await soon(lambda: script.held > 0)

    def open_on_server(self) -> int:
        return len(self.database.connections)


class Real:
    """A PostgreSQL behind a network."""

    # A cancelled client that does not stay to see it end leaves it to the server, which notices late.
    statement = "SELECT pg_sleep(1)"

    def __init__(self, database: FreshDatabase, proxy: FaultProxy, driver: str) -> None:
        self._database = database
        self._proxy = proxy
        self._driver = driver

    def engine(self, **arguments: Any) -> AsyncEngine:
        return create_async_engine(self._proxy.url(self._database.url(self._driver)), poolclass=KeeperPool, **arguments)

    def hold(self, kind: str) -> None:
        if kind != "statements":
            self._proxy.latency = _LATENCY

    def let_go(self) -> None:
        self._proxy.latency = 0.0

    async def reached(self, kind: str) -> None:
        if kind == "statements":
            # A cancel request that arrives before its statement is lost.
            await soon(lambda: bool(self._database.activity("query LIKE '%pg_sleep%' AND state = 'active'")))
        else:
            await asyncio.sleep(_STARTED)

    def open_on_server(self) -> int:
        return len(self._database.activity())


def run_virtually(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in virtual time. A pool's own timers go on for ever, so a test that waits in vain is ended."""

    async def bounded() -> None:
        async with asyncio.timeout(100 * PATIENCE):
            await test

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(bounded())


async def soon(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - a server says nothing when it has changed
            await asyncio.sleep(0.005)


async def assert_soon_conserved(pool: Pool, open_on_server: Callable[[], int]) -> None:
    """The pool and the server agree; a server learns of a close, and a pool of a death, a moment later."""

    def is_conserved() -> bool:
        with contextlib.suppress(AssertionError):
            assert_conserved(pool, open_on_server())
            return not isinstance(pool, KeeperPool) or not pool.counts().checking
        return False

    with contextlib.suppress(TimeoutError):
        await soon(is_conserved)
    assert_conserved(pool, open_on_server())


@contextlib.asynccontextmanager
async def all_of(engine: AsyncEngine, count: int) -> AsyncIterator[list[AsyncConnection]]:
    """So many connections at once, each of which answers."""
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(PATIENCE):
            connections = [await stack.enter_async_context(engine.connect()) for _ in range(count)]
            for connection in connections:
                assert (await connection.execute(ONE)).scalar_one() == 1
        yield connections
