"""Units of work: a session that commits on success, rolls back on any exception and always comes home."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from poolkeeper.database.callers import note_commits
from poolkeeper.database.cleanup import to_completion
from poolkeeper.database.local_settings import set_locally
from poolkeeper.database.read_session import RETRYING, ReadSession, RoutedReadSession
from poolkeeper.database.released import release
from poolkeeper.database.retrying import Retrying


def async_makers(
    engine: AsyncEngine,
    reader: AsyncEngine,
    session_class: type[AsyncSession],
    *,
    routed: bool = False,
    retrying: Retrying | None = None,
) -> tuple[async_sessionmaker[AsyncSession], async_sessionmaker[AsyncSession]]:
    """Session factories for writing and for reading; `routed` where reads may go to replicas.

    `retrying` decides on first statements that a read session may send again; without it there are none.
    """
    # close_resets_only=False: a session that is over stays over, instead of silently beginning a new transaction.
    return (
        async_sessionmaker(
            engine,
            class_=session_class,
            sync_session_class=_ours(session_class.sync_session_class, routed=routed),
            expire_on_commit=False,
            close_resets_only=False,
        ),
        async_sessionmaker(
            reader,
            class_=session_class,
            sync_session_class=RoutedReadSession if routed else ReadSession,
            info={RETRYING: retrying},
            expire_on_commit=False,
            close_resets_only=False,
        ),
    )


def sync_makers(
    engine: Engine, reader: Engine, *, routed: bool = False, retrying: Retrying | None = None
) -> tuple[sessionmaker[Session], sessionmaker[ReadSession]]:
    """The same for threads."""
    read_class = RoutedReadSession if routed else ReadSession
    return (
        sessionmaker(engine, class_=_ours(Session, routed=routed), expire_on_commit=False, close_resets_only=False),
        sessionmaker(
            reader, class_=read_class, expire_on_commit=False, close_resets_only=False, info={RETRYING: retrying}
        ),
    )


def _ours(session_class: type[Session], *, routed: bool) -> type[Session]:
    """A class whose sessions set what holds for a transaction, and tell of commits where somebody needs to know."""
    ours = type(session_class.__name__, (session_class,), {})
    set_locally(ours)
    if routed:
        note_commits(ours)
    return ours


@asynccontextmanager
async def async_unit_of_work(
    make: Callable[[], AsyncSession], owner: str, *, commit: bool
) -> AsyncGenerator[AsyncSession]:
    """One session from `make`, closed at the end; `owner` is what it ends with, for the advice to later users.

    On success the work is committed if `commit` is set; a failing COMMIT raises. On any exception, cancellation
    included, the transaction is rolled back first, in a task of its own that a cancellation cannot interrupt.
    """
    session = make()
    try:
        yield session
        if commit:
            await session.commit()
    except BaseException:
        await to_completion(_roll_back(session))
        raise
    else:
        closing = session.close()
        # Without a transaction there is no connection to give back, and nothing that a cancellation could interrupt.
        await (to_completion(closing) if session.in_transaction() else closing)
    finally:
        release(session, owner)


async def _roll_back(session: AsyncSession) -> None:
    # After a failed COMMIT, close() alone would hand the connection back with its transaction open.
    try:
        await session.rollback()
    finally:
        await session.close()


@contextmanager
def sync_unit_of_work(make: Callable[[], Session], owner: str, *, commit: bool) -> Generator[Session]:
    """The same for threads."""
    session = make()
    try:
        yield session
        if commit:
            session.commit()
    except BaseException:
        try:
            session.rollback()
        finally:
            session.close()
        raise
    else:
        session.close()
    finally:
        release(session, owner)
