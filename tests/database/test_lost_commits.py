"""A commit that the server would answer with a rollback is refused, on every driver; nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from sqlalchemy import Integer, String, exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Kind, Store, on

from poolkeeper import CommitRefused, ReadOnlySession

pytestmark = pytest.mark.anyio
INSERT = text("INSERT INTO note VALUES (:id, 'x')")
on_postgresql = on(*POSTGRESQL)


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    body: Mapped[str] = mapped_column(String(100))


async def fail_and_swallow(session: AsyncSession) -> None:
    await session.execute(INSERT, {"id": 1})
    with contextlib.suppress(exc.DBAPIError):
        await session.execute(INSERT, {"id": 1})


@on_postgresql
async def test_a_swallowed_error_refuses_the_commit(store: Store) -> None:
    async with store.make() as database:
        with pytest.raises(CommitRefused, match="begin_nested") as refused:
            async with database.session() as session:
                await fail_and_swallow(session)
        assert "duplicate key" in str(refused.value.__cause__)
        assert store.rows() == 0
        store.assert_conserved(database)


@on_postgresql
async def test_a_transaction_begun_on_the_engine_itself_is_protected_too(store: Store) -> None:
    async with store.make() as database:
        with pytest.raises(CommitRefused):
            async with database.engine.begin() as connection:
                await connection.execute(INSERT, {"id": 1})
                with contextlib.suppress(exc.DBAPIError):
                    await connection.execute(INSERT, {"id": 1})
        assert store.rows() == 0
        store.assert_conserved(database)


@on(BLOCKING[0])
async def test_a_blocking_session_is_protected_too(store: Store) -> None:
    async with store.make() as database:
        with pytest.raises(CommitRefused), database.sync_session() as session:
            session.execute(INSERT, {"id": 1})
            with contextlib.suppress(exc.DBAPIError):
                session.execute(INSERT, {"id": 1})
        assert store.rows() == 0
        store.assert_conserved(database)


@on_postgresql
async def test_an_error_inside_a_savepoint_is_no_reason_to_refuse(store: Store) -> None:
    async with store.make() as database:
        async with database.session() as session:
            await session.execute(INSERT, {"id": 1})
            with contextlib.suppress(exc.DBAPIError):
                async with session.begin_nested():
                    await session.execute(INSERT, {"id": 1})
        assert store.rows() == 1


@on_postgresql
async def test_a_rollback_after_the_error_makes_the_session_good_again(store: Store) -> None:
    async with store.make() as database:
        async with database.session() as session:
            await fail_and_swallow(session)
            await session.rollback()
            await session.execute(INSERT, {"id": 2})
        assert store.rows() == 1


@on_postgresql
async def test_an_argument_that_the_driver_cannot_encode_is_no_reason_to_refuse(store: Store) -> None:
    async with store.make() as database:
        async with database.session() as session:
            await session.execute(INSERT, {"id": 1})
            with contextlib.suppress(exc.StatementError, TypeError):
                await session.execute(INSERT, {"id": object()})
        assert store.rows() == 1


@on_postgresql
async def test_an_error_in_a_read_session_does_not_reach_the_next_user_of_the_connection(store: Store) -> None:
    async with store.make() as database:
        async with database.read_session() as session:
            with contextlib.suppress(exc.DBAPIError):
                await session.execute(text("SELECT 1/0"))
            assert await session.scalar(text("SELECT 1")) == 1
        async with database.session() as session:
            await session.execute(INSERT, {"id": 1})
        assert store.rows() == 1
        assert len(store.connections()) == 1


@on(*MARIADB)
async def test_a_swallowed_deadlock_refuses_the_commit(store: Store) -> None:
    store.server.execute("INSERT INTO note VALUES (1, 'x'), (2, 'x')")
    change = text("UPDATE note SET body = :body WHERE id = :id")
    both_hold_one = asyncio.Barrier(2)

    async with store.make() as database:

        async def work(first: int, second: int) -> Any:
            async with database.session() as session:
                await session.execute(INSERT, {"id": 10 + first})
                await session.execute(change, {"id": first, "body": "changed"})
                await both_hold_one.wait()
                with contextlib.suppress(exc.OperationalError):
                    await session.execute(change, {"id": second, "body": "changed"})

        outcomes = await asyncio.gather(work(1, 2), work(2, 1), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, CommitRefused)]
        assert len(refused) == 1
        assert [outcome for outcome in outcomes if outcome is None] == [None]
        assert store.rows() == 3
        store.assert_conserved(database)


@on(*POSTGRESQL, *MARIADB, Kind("aiosqlite", "file"))
async def test_a_read_session_refuses_to_flush(store: Store) -> None:
    async with store.make() as database:
        async with database.session() as session:
            session.add(Note(id=1, body="x"))
        async with database.read_session() as session:
            note = await session.get(Note, 1)
            assert note is not None
            note.body = "changed"
            with pytest.raises(ReadOnlySession, match="1 changed"):
                await session.flush()
        with pytest.raises(ReadOnlySession, match="1 new"):
            async with database.read_session() as session:
                session.add(Note(id=2, body="x"))
                await session.commit()
        assert store.rows() == 1
        store.assert_conserved(database)
