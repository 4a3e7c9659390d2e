"""A commit whose answer was lost says so; one that was never sent, or was answered, does not."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on

from poolkeeper import CommandTimeout, CommitUnknown, Database
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.anyio
INSERT = text("INSERT INTO note VALUES (:id, 'x')")
NUMBER = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}
KILL = {"postgresql": "pid = {}", "mariadb": "id = {}"}


def behind(proxy: FaultProxy, store: Store, **settings: object) -> Database:
    return Database(proxy.url(store.url), **{"min_idle": 0, "command_timeout": 0.3, **settings})  # type: ignore[arg-type]


async def kill(session: AsyncSession, store: Store) -> None:
    """End this session's connection on the server, and return when it has ended."""
    number = await session.scalar(text(NUMBER[store.kind.place]))
    server = store.server
    end = server.terminate_backends if store.kind.place == "postgresql" else server.kill_connections
    await asyncio.to_thread(end, KILL[store.kind.place].format(number))


@on(*POSTGRESQL, *MARIADB)
async def test_an_answer_that_never_comes_is_unknown(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store) as database:
        with pytest.raises(CommitUnknown) as unknown:
            async with database.session() as session:
                await session.execute(INSERT, {"id": 1})
                proxy.drop()
        assert isinstance(unknown.value, exc.OperationalError)
        assert unknown.value.connection_invalidated
        assert isinstance(unknown.value.orig, CommandTimeout)
        assert unknown.value.__cause__ is not None
        proxy.reset()
        proxy.heal()
        store.assert_conserved(database)


@on(*POSTGRESQL, *MARIADB)
async def test_an_answer_that_was_cut_off_is_unknown_and_the_work_may_be_done(store: Store, proxy: FaultProxy) -> None:
    async def cut_off() -> None:
        while await asyncio.to_thread(store.rows) == 0:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        proxy.reset()

    async with behind(proxy, store, command_timeout=20) as database:
        with pytest.raises(CommitUnknown):
            async with database.session() as session:
                await session.execute(INSERT, {"id": 1})
                # The COMMIT reaches the server after 0.5 s, and its answer would be back after 1 s.
                proxy.latency = 0.5
                cutting_off = asyncio.create_task(cut_off())
        await cutting_off
        assert store.rows() == 1
        proxy.reset()
        proxy.heal()
        store.assert_conserved(database)


@on(*BLOCKING)
async def test_the_same_on_threads(store: Store, proxy: FaultProxy) -> None:
    def work() -> None:
        with database.sync_session() as session:
            session.execute(INSERT, {"id": 1})
            proxy.drop()

    async with behind(proxy, store) as database:
        with pytest.raises(CommitUnknown):
            await asyncio.to_thread(work)
        proxy.reset()
        proxy.heal()
        store.assert_conserved(database)


@pytest.mark.slow
@on(*POSTGRESQL)
async def test_on_the_engine_itself_too(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store) as database:
        with pytest.raises(CommitUnknown):
            async with database.engine.begin() as connection:
                await connection.execute(INSERT, {"id": 1})
                proxy.drop()
        proxy.heal()


@on(*POSTGRESQL, *MARIADB)
async def test_a_connection_that_broke_before_commit_is_no_doubt(store: Store) -> None:
    async with store.make() as database:
        with pytest.raises(exc.DBAPIError) as broken:
            async with database.session() as session:
                await session.execute(INSERT, {"id": 1})
                await kill(session, store)
                await asyncio.sleep(0.1)
        assert not isinstance(broken.value, CommitUnknown)
        assert broken.value.connection_invalidated
        assert store.rows() == 0


@on(*POSTGRESQL)
async def test_an_error_that_the_server_answers_is_no_doubt(store: Store) -> None:
    store.server.execute("CREATE TABLE child (id int REFERENCES note DEFERRABLE INITIALLY DEFERRED)")
    async with store.make() as database:
        with pytest.raises(exc.IntegrityError):
            async with database.session() as session:
                await session.execute(text("INSERT INTO child VALUES (42)"))
        store.assert_conserved(database)


@pytest.mark.slow
@on(*POSTGRESQL)
async def test_a_cancellation_stays_one(store: Store, proxy: FaultProxy) -> None:
    async with behind(proxy, store, command_timeout=20) as database:

        async def work() -> None:
            async with database.session() as session:
                await session.execute(INSERT, {"id": 1})
                proxy.latency = 0.1

        task = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proxy.heal()
