"""A second task in the middle of the first one's statement is told so, and harms no later user of the pool."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from tests.database.stores import MARIADB, POSTGRESQL, Store, on

from poolkeeper import ConcurrentSessionUse

pytestmark = pytest.mark.anyio
SELECT = text("SELECT 1")
breakable = on(POSTGRESQL[0], *MARIADB)


async def end_while_executing(store: Store, session: AsyncSession, how: str) -> list[BaseException | None]:
    """What the two tasks got that met in one session."""
    executing = asyncio.create_task(session.execute(text(store.sleep(0.3))), name="executes")
    await asyncio.wait([executing], timeout=0.1)
    ending = asyncio.create_task(getattr(session, how)(), name="ends")
    await asyncio.wait([executing, ending], timeout=5)
    assert executing.done()
    assert ending.done()
    return [executing.exception(), ending.exception()]


@pytest.mark.parametrize("how", ["commit", "rollback", "close"])
@breakable
async def test_the_error_names_both_tasks_and_later_users_are_unharmed(store: Store, how: str) -> None:
    store.server.may_leave_backends = True
    async with store.make(pool_size=5) as database:
        session = AsyncSession(database.engine)
        await session.execute(SELECT)
        errors = await end_while_executing(store, session, how)
        await session.close()
        told = [error for error in errors if isinstance(error, ConcurrentSessionUse)]
        if how != "close":
            assert told
            assert "'ends'" in str(told[0])
            assert "'executes'" in str(told[0])
        assert all(error is None or isinstance(error, SQLAlchemyError) for error in errors)
        for _ in range(8):
            async with database.session() as later:
                await later.execute(SELECT)
        store.assert_conserved(database)


@pytest.mark.parametrize("how", ["commit", "rollback"])
@on(POSTGRESQL[1])
async def test_psycopg_waits_for_the_first_task(store: Store, how: str) -> None:
    async with store.make(pool_size=5) as database:
        async with database.session() as session:
            await session.execute(SELECT)
            assert await end_while_executing(store, session, how) == [None, None]
        store.assert_conserved(database)


@on(*POSTGRESQL, *MARIADB)
async def test_gathered_statements_take_turns(store: Store) -> None:
    async with store.make(pool_size=5) as database:
        async with database.session() as session:
            await session.execute(SELECT)
            results = await asyncio.gather(*(session.execute(text(f"SELECT {number}")) for number in range(5)))
            assert [result.scalar_one() for result in results] == list(range(5))
        store.assert_conserved(database)
