"""Units of work in threads: the same promises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from tests.database.stores import BLOCKING, PYSQLITE, TABLE, Kind, Store, on

from poolkeeper import Database, ReadOnlySession, SessionReleased

everywhere = on(*BLOCKING, *PYSQLITE)
INSERT = text("INSERT INTO note VALUES (:id, 'x')")
COUNT = text("SELECT count(*) FROM note")


@contextmanager
def opened(store: Store, **settings: object) -> Iterator[Database]:
    database = store.make(**settings)
    if store.kind.place == "memory":
        with database.sync_session() as session:
            session.execute(text(TABLE))
    try:
        yield database
    finally:
        asyncio.run(database.close())


def rows(database: Database) -> int:
    with database.sync_read_session() as session:
        return int(session.execute(COUNT).scalar_one())


@everywhere
def test_success_is_committed(store: Store) -> None:
    with opened(store) as database:
        with database.sync_session() as session:
            session.execute(INSERT, {"id": 1})
        assert rows(database) == 1
        store.assert_conserved(database)


@everywhere
def test_an_error_rolls_back(store: Store) -> None:
    with opened(store) as database:
        with pytest.raises(RuntimeError, match="boom"), database.sync_session() as session:
            session.execute(INSERT, {"id": 1})
            raise RuntimeError("boom")
        assert rows(database) == 0
        store.assert_conserved(database)


@everywhere
def test_an_error_inside_a_savepoint_takes_only_that_back(store: Store) -> None:
    with opened(store) as database:
        with database.sync_session() as session:
            session.execute(INSERT, {"id": 1})
            with pytest.raises(RuntimeError, match="boom"), session.begin_nested():
                session.execute(INSERT, {"id": 2})
                raise RuntimeError("boom")
        assert rows(database) == 1
        store.assert_conserved(database)


@everywhere
def test_a_session_used_after_its_end_says_which_call_to_use(store: Store) -> None:
    with opened(store) as database:
        with database.sync_session() as writing:
            writing.execute(COUNT)
        with database.sync_read_session() as reading:
            reading.execute(COUNT)
        for session in (writing, reading):
            with pytest.raises(SessionReleased, match=r"ended with its `with` block.*`with db.sync_session\(\)"):
                session.execute(COUNT)
        store.assert_conserved(database)


@everywhere
def test_a_read_session_refuses_to_write(store: Store) -> None:
    with opened(store) as database:
        with pytest.raises(ReadOnlySession), database.sync_read_session() as session:
            session.execute(INSERT, {"id": 1})
        assert rows(database) == 0
        store.assert_conserved(database)


@on(*BLOCKING)
def test_threads_share_the_pool_and_bring_everything_home(store: Store) -> None:
    with opened(store, pool_size=5) as database, ThreadPoolExecutor(20) as threads:

        def work(number: int) -> None:
            with database.sync_session() as session:
                session.execute(INSERT, {"id": number})
                if number % 2:
                    raise RuntimeError(threading.current_thread().name)

        outcomes = [threads.submit(work, number) for number in range(200)]
        failed = sum(outcome.exception() is not None for outcome in outcomes)
        assert failed == 100
        assert rows(database) == 100
        assert len(store.connections()) <= 5
        store.assert_conserved(database)


@pytest.mark.anyio
@on(Kind("psycopg", "postgresql"))
async def test_one_database_serves_tasks_and_threads_with_psycopg(store: Store) -> None:
    async with store.make() as database:

        def in_thread() -> None:
            with database.sync_session() as session:
                session.execute(INSERT, {"id": 1})

        async with database.session() as session:
            await session.execute(INSERT, {"id": 2})
            await asyncio.to_thread(in_thread)
            pool = database.snapshot()
            assert (pool.in_use, pool.idle, pool.capacity) == (1, 1, 40)
        assert store.rows() == 2
        store.assert_conserved(database)
