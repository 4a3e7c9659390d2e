"""size, checkedin, checkedout, overflow, timeout and status at each step of a pool's life."""

from __future__ import annotations

import pytest
from sqlalchemy import Pool, exc
from sqlalchemy.util import greenlet_spawn
from tests.pool.stock.pools import SELECT, Maker, on_every_driver

pytestmark = pytest.mark.anyio


def numbers(pool: Pool) -> tuple[int, int, int]:
    """Idle, in use, overflow; and `status()` says just that."""
    idle, in_use, overflow = pool.checkedin(), pool.checkedout(), pool.overflow()
    assert pool.status() == (
        f"Pool size: {pool.size()}  Connections in pool: {idle} "
        f"Current Overflow: {overflow} Current Checked out connections: {in_use}"
    )
    return idle, in_use, overflow


@on_every_driver
async def test_within_pool_size(make: Maker) -> None:
    engine = make(pool_size=2, max_overflow=1, pool_timeout=7)
    pool = engine.pool
    assert (pool.size(), pool.timeout()) == (2, 7)
    assert numbers(pool) == (0, 0, -2)
    first = await engine.connect()
    assert numbers(pool) == (0, 1, -1)
    second = await engine.connect()
    assert numbers(pool) == (0, 2, 0)
    await first.close()
    assert numbers(pool) == (1, 1, 0)
    third = await engine.connect()
    assert numbers(pool) == (0, 2, 0)
    await second.close()
    await third.close()
    assert numbers(pool) == (2, 0, 0)
    await engine.dispose()
    assert numbers(pool) == (0, 0, -2)
    assert numbers(engine.pool) == (0, 0, -2)


async def test_beyond_pool_size(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=2, pool_timeout=0.3)
    connections = []
    for expected in ((0, 1, 0), (0, 2, 1), (0, 3, 2)):
        connections.append(await engine.connect())
        assert numbers(engine.pool) == expected
    with pytest.raises(exc.TimeoutError):
        await engine.connect()
    assert numbers(engine.pool) == (0, 3, 2)
    for connection in connections:
        await connection.close()


async def test_without_a_bound(make: Maker) -> None:
    engine = make(pool_size=0)
    assert numbers(engine.pool) == (0, 0, 0)
    async with engine.connect(), engine.connect():
        assert numbers(engine.pool) == (0, 2, 0)
    assert numbers(engine.pool) == (2, 0, 0)


async def test_a_transaction_that_ends_any_way_is_given_back(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=5)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with engine.begin() as connection:
                await connection.execute(SELECT)
                assert numbers(engine.pool) == (0, 1, 0)
                raise ZeroDivisionError
        assert numbers(engine.pool) == (1, 0, 0)


async def test_a_failed_connect_counts_for_nothing(make: Maker) -> None:
    engine = make(pool_size=1, max_overflow=0, connect_args={"database": "nowhere"})
    for _ in range(2):
        with pytest.raises(Exception, match='database "nowhere" does not exist'):
            await engine.connect()
        assert numbers(engine.pool) == (0, 0, -1)


@pytest.mark.parametrize("how", ["invalidate", "detach"])
async def test_a_lost_connection_frees_its_place(make: Maker, how: str) -> None:
    engine = make(pool_size=1, max_overflow=0, pool_timeout=5)
    connection = await engine.raw_connection()
    await greenlet_spawn(getattr(connection, how))
    assert engine.pool.checkedout() == 0
    async with engine.connect():
        assert numbers(engine.pool) == (0, 1, 0)
    await greenlet_spawn(connection.close)
    assert numbers(engine.pool) == (1, 0, 0)


async def test_dispose_leaves_what_is_in_use(make: Maker) -> None:
    engine = make(pool_size=3)
    old = engine.pool
    async with engine.connect() as kept, engine.connect():
        pass
    async with engine.connect() as kept:
        await engine.dispose()
        assert engine.pool is not old
        assert numbers(engine.pool) == (0, 0, -3)
        assert (await kept.execute(SELECT)).scalar() == 1
    assert numbers(engine.pool) == (0, 0, -3)
    # What the stock pool takes back after a dispose, it keeps.
    await greenlet_spawn(old.dispose)
