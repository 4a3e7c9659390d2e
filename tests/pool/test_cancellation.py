"""A task may be cancelled wherever it awaits something of a connection's life: no connection and nobody is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn
from tests.pool.places import ONE, PATIENCE, Place, Real, Scripted, all_of, assert_soon_conserved, run_virtually, soon
from tests.pool.victims import WAYS, Victim
from tests.servers import FreshDatabase

from poolkeeper.pool import KeeperPool
from poolkeeper.testing import FaultProxy
from poolkeeper.testing.scripted.errors import OperationalError


@dataclass
class Scene:
    """An engine with one connection at most, and how its victim is cancelled."""

    place: Place
    engine: AsyncEngine
    way: str

    @property
    def pool(self) -> Any:
        return self.engine.pool

    def victim(self, work: Callable[[], Awaitable[object]]) -> Victim:
        return Victim(self.way, work)

    async def use(self) -> None:
        async with self.engine.connect() as connection:
            await connection.execute(ONE)

    async def someone_waits(self) -> asyncio.Task[None]:
        """Another caller, behind everybody who waits already, unless there is nothing to wait for."""
        before = self.pool.waiting
        task = asyncio.create_task(self.use(), name="other")
        await soon(lambda: self.pool.waiting > before or task.done())
        return task


Act = Callable[[Scene], Awaitable[None]]


async def queued(scene: Scene) -> None:
    async with scene.engine.connect():
        victim = scene.victim(scene.use)
        await soon(lambda: scene.pool.waiting == 1)
        other = await scene.someone_waits()
        await victim.struck()
        assert scene.pool.waiting == 1
    await asyncio.wait_for(other, PATIENCE)


async def handed_over_then_cancelled(scene: Scene) -> None:
    holder = await scene.engine.raw_connection()
    victim = scene.victim(scene.use)
    await soon(lambda: scene.pool.waiting == 1)
    other = await scene.someone_waits()
    await greenlet_spawn(holder.close)
    await victim.struck()
    await asyncio.wait_for(other, PATIENCE)


async def cancelled_then_handed_over(scene: Scene) -> None:
    holder = await scene.engine.raw_connection()
    victim = scene.victim(scene.use)
    await soon(lambda: scene.pool.waiting == 1)
    other = await scene.someone_waits()
    victim.strike()
    await greenlet_spawn(holder.close)
    await victim.ended()
    await asyncio.wait_for(other, PATIENCE)


async def connecting(scene: Scene) -> None:
    scene.place.hold("connects")
    victim = scene.victim(scene.use)
    await scene.place.reached("connects")
    other = await scene.someone_waits()
    await victim.struck(scene.place.let_go)
    await asyncio.wait_for(other, PATIENCE)


async def connecting_alone(scene: Scene) -> None:
    scene.place.hold("connects")
    victim = scene.victim(scene.use)
    await scene.place.reached("connects")
    await victim.struck(scene.place.let_go)


async def checking(scene: Scene) -> None:
    await scene.use()
    scene.place.hold("pings")
    victim = scene.victim(scene.use)
    await scene.place.reached("pings")
    other = await scene.someone_waits()
    await victim.struck(scene.place.let_go)
    await asyncio.wait_for(other, PATIENCE)


async def in_use(scene: Scene) -> None:
    async def work() -> None:
        async with scene.engine.connect() as connection:
            await connection.execute(ONE)
            scene.place.hold("statements")
            await connection.execute(text(scene.place.statement))

    victim = scene.victim(work)
    await scene.place.reached("statements")
    other = await scene.someone_waits()
    await victim.struck(scene.place.let_go)
    await asyncio.wait_for(other, PATIENCE)


async def rolling_back(scene: Scene) -> None:
    async def work() -> None:
        async with scene.engine.connect() as connection:
            await connection.execute(ONE)
            scene.place.hold("rollbacks")

    await cancel_going_home(scene, work, "rollbacks")


async def rolling_back_in_close(scene: Scene) -> None:
    async def work() -> None:
        connection = await scene.engine.connect()
        await connection.execute(ONE)
        scene.place.hold("rollbacks")
        await connection.close()

    await cancel_going_home(scene, work, "rollbacks")


async def rolling_back_in_the_pool(scene: Scene) -> None:
    async def work() -> None:
        connection = await scene.engine.raw_connection()
        cursor: Any = await greenlet_spawn(connection.cursor)
        await greenlet_spawn(cursor.execute, "SELECT 1")
        scene.place.hold("rollbacks")
        await greenlet_spawn(connection.close)

    await cancel_going_home(scene, work, "rollbacks")


async def committing(scene: Scene) -> None:
    async def work() -> None:
        async with scene.engine.begin() as connection:
            await connection.execute(ONE)
            scene.place.hold("commits")

    await cancel_going_home(scene, work, "commits")


async def closing(scene: Scene) -> None:
    async def work() -> None:
        async with scene.engine.connect() as connection:
            await connection.execute(ONE)
            scene.place.hold("closes")
            await connection.invalidate()

    await cancel_going_home(scene, work, "closes")


async def cancel_going_home(scene: Scene, work: Callable[[], Awaitable[None]], kind: str) -> None:
    victim = scene.victim(work)
    await scene.place.reached(kind)
    other = await scene.someone_waits()
    await victim.struck(scene.place.let_go)
    await asyncio.wait_for(other, PATIENCE)


async def disposing(scene: Scene) -> None:
    await scene.use()
    scene.place.hold("closes")
    victim = scene.victim(scene.engine.dispose)
    await scene.place.reached("closes")
    await victim.struck(scene.place.let_go)


async def warming_up(scene: Scene) -> None:
    scene.place.hold("connects")
    victim = scene.victim(lambda: scene.pool.warm_up(PATIENCE))
    await scene.place.reached("connects")
    await victim.struck(scene.place.let_go)


ACTS = (
    queued,
    handed_over_then_cancelled,
    cancelled_then_handed_over,
    connecting,
    connecting_alone,
    checking,
    in_use,
    rolling_back,
    rolling_back_in_close,
    rolling_back_in_the_pool,
    committing,
    closing,
    disposing,
    warming_up,
)


async def play(place: Place, act: Act, way: str) -> None:
    """One scene, after which everything must be in its place and of use."""
    # A ping at every checkout, so that checking can be held.
    ping_after = 0.0 if act is checking else PATIENCE
    engine = place.engine(
        pool_size=1, max_overflow=0, pool_timeout=PATIENCE, ping_after=ping_after, ping_timeout=PATIENCE, min_idle=1
    )
    try:
        await act(Scene(place, engine, way))
        await assert_soon_conserved(engine.pool, place.open_on_server)
        async with all_of(engine, 1):
            await assert_soon_conserved(engine.pool, place.open_on_server)
        await assert_soon_conserved(engine.pool, place.open_on_server)
        assert engine.pool.checkedout() == 0
    finally:
        place.let_go()
        await engine.dispose()
    await soon(lambda: place.open_on_server() == 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_scripted(act: Act, way: str) -> None:
    run_virtually(play(Scripted(), act, way))


@pytest.fixture(params=["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
def real(request: pytest.FixtureRequest, fresh_database: FreshDatabase) -> Iterator[Real]:
    with FaultProxy(fresh_database.server.host, fresh_database.server.port) as proxy:
        yield Real(fresh_database, proxy, request.param)


@pytest.mark.parametrize("way", ["task", *(pytest.param(way, marks=pytest.mark.slow) for way in WAYS[1:])])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_on_postgresql(act: Act, way: str, real: Real) -> None:
    asyncio.run(play(real, act, way))


async def closing_what_could_not_be_reset(scene: Scene) -> None:
    async def work() -> None:
        connection = await scene.engine.raw_connection()
        cursor: Any = await greenlet_spawn(connection.cursor)
        await greenlet_spawn(cursor.execute, "SELECT 1")
        scripted.rollbacks.fail(OperationalError, times=1)
        scene.place.hold("closes")
        await greenlet_spawn(connection.close)

    scripted = scene.place.database  # type: ignore[attr-defined]
    await cancel_going_home(scene, work, "closes")


@pytest.mark.parametrize("way", WAYS)
def test_a_place_is_not_lost_with_a_connection_that_cannot_be_reset(way: str) -> None:
    run_virtually(play(Scripted(), closing_what_could_not_be_reset, way))


async def drain_cancelled(place: Place, way: str) -> None:
    engine = place.engine(pool_size=1, max_overflow=0)
    pool = engine.pool
    assert isinstance(pool, KeeperPool)
    async with engine.connect() as connection:
        await connection.execute(ONE)
        victim = Victim(way, lambda: pool.drain(PATIENCE))
        await asyncio.sleep(0.01)
        assert not victim.task.done()
        await victim.struck()
        await assert_soon_conserved(pool, place.open_on_server)
    assert await pool.drain(PATIENCE) == 0
    await assert_soon_conserved(pool, place.open_on_server)
    await engine.dispose()
    await soon(lambda: place.open_on_server() == 0)


@pytest.mark.parametrize("way", WAYS)
def test_drain_scripted(way: str) -> None:
    run_virtually(drain_cancelled(Scripted(), way))


def test_drain_on_postgresql(real: Real) -> None:
    asyncio.run(drain_cancelled(real, "task"))
