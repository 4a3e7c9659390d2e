"""Sessions for ordinary tests: code commits as it likes, and nothing of it is there afterwards."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session


class HasOverrides(Protocol):
    """A FastAPI app."""

    dependency_overrides: dict[Callable[..., Any], Callable[..., Any]]


@contextmanager
def rolled_back(engine: Engine) -> Generator[Session]:
    """A session in an outer transaction, which is rolled back at the end, whatever was committed within.

    A commit of the session releases a savepoint, a rollback returns to the last commit. What other connections do is
    outside of it, and cannot see it.
    """
    with engine.connect() as connection, connection.begin() as outer:
        with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
            yield session
        outer.rollback()


@asynccontextmanager
async def rolled_back_async(engine: AsyncEngine) -> AsyncGenerator[AsyncSession]:
    """The same for an `AsyncSession`."""
    async with engine.connect() as connection, connection.begin() as outer:
        async with AsyncSession(
            connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        ) as session:
            yield session
        await outer.rollback()


@contextmanager
def override_sessions(app: HasOverrides, keeper: Any, session: AsyncSession | Session) -> Generator[None]:
    """Until the end of the block, endpoints that ask `keeper` for a session get this one.

    Each request commits or rolls back as it would, within the session's outer transaction; one that only reads keeps
    nothing. Requests see what the test has committed in the session, and have to come one after the other: a session is
    no pool. Overrides that were there before are put back.
    """
    units: dict[Any, Callable[[], Any]]
    if isinstance(session, AsyncSession):
        units = {keeper.write: _async_unit(session, keeps=True), keeper.read: _async_unit(session, keeps=False)}
    else:
        units = {keeper.sync_write: _unit(session, keeps=True), keeper.sync_read: _unit(session, keeps=False)}
    before = dict(app.dependency_overrides)
    app.dependency_overrides.update({marker.dependency: unit for marker, unit in units.items()})
    try:
        yield
    finally:
        app.dependency_overrides.clear()
        app.dependency_overrides.update(before)


def _async_unit(session: AsyncSession, *, keeps: bool) -> Callable[[], AsyncIterator[AsyncSession]]:
    async def unit() -> AsyncIterator[AsyncSession]:
        try:
            yield session
        except BaseException:
            await session.rollback()
            raise
        await (session.commit() if keeps else session.rollback())

    return unit


def _unit(session: Session, *, keeps: bool) -> Callable[[], Iterator[Session]]:
    def unit() -> Iterator[Session]:
        try:
            yield session
        except BaseException:
            session.rollback()
            raise
        session.commit() if keeps else session.rollback()

    return unit
