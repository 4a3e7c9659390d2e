"""Settings that hold for one transaction, and are seen by nobody after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.database.stores import AIOSQLITE, MARIADB, POSTGRESQL, Kind, Store, on
from tests.servers import FreshDatabase, PgBouncer

from poolkeeper import Database, ReadOnlySession

pytestmark = pytest.mark.anyio

MakePooler = Callable[..., PgBouncer]
SEEN = text("SELECT coalesce(nullif(current_setting('app.tenant', true), ''), 'nobody')")
SERVER = text("SELECT pg_backend_pid()")
drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
tenant: ContextVar[str | None] = ContextVar("tenant", default=None)


def of_request() -> dict[str, str] | None:
    name = tenant.get()
    return None if name is None else {"app.tenant": name}


@asynccontextmanager
async def pooled(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str, **settings: Any
) -> AsyncGenerator[Database]:
    """Through a PgBouncer that has one server connection for everybody."""
    fresh_database.may_leave_backends = True
    pooler = pgbouncer(default_pool_size=1)
    url = pooler.url(driver, fresh_database.name)
    async with Database(url, provider="pgbouncer-transaction", pool_size=5, **settings) as database:
        yield database


async def seen(session: AsyncSession) -> str:
    return str(await session.scalar(SEEN))


async def end_well(_session: AsyncSession) -> None:
    """Commit."""


async def roll_back(session: AsyncSession) -> None:
    await session.rollback()
    # The next transaction of the session begins with them again.
    assert await seen(session) != "nobody"


async def commit_and_go_on(session: AsyncSession) -> None:
    await session.commit()
    assert await seen(session) != "nobody"


async def raise_an_error(_session: AsyncSession) -> None:
    raise KeyError


async def fail_in_the_server(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1 / 0"))


async def be_cancelled(session: AsyncSession) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.02, task.cancel)
    await session.execute(text("SELECT pg_sleep(5)"))


ENDS = [end_well, roll_back, commit_and_go_on, raise_an_error, fail_in_the_server, be_cancelled]


@drivers
async def test_two_tenants_on_one_server_connection_never_see_each_other(
    fresh_database: FreshDatabase, pgbouncer: MakePooler, driver: str
) -> None:
    servers: set[int] = set()
    ended: set[str] = set()

    async def work(database: Database, name: str | None, end: Callable[[AsyncSession], Any]) -> None:
        values = None if name is None else {"app.tenant": name}
        async with database.session(set_local=values) as session:
            servers.add(int(await session.scalar(SERVER) or 0))
            assert await seen(session) == (name or "nobody")
            if name is not None:
                ended.add(end.__name__)
                await end(session)

    async with pooled(fresh_database, pgbouncer, driver) as database:
        for end in ENDS:
            names = ["7", None, "8", None] * 3
            results = await asyncio.gather(
                *(asyncio.create_task(work(database, name, end)) for name in names), return_exceptions=True
            )
            assert not [error for error in results if isinstance(error, AssertionError)]
            async with database.read_session() as session:
                assert await seen(session) == "nobody"
    assert ended == {end.__name__ for end in ENDS}
    # A cancelled statement costs the pooler its connection; all others shared one.
    assert len(servers) <= 1 + 6


@on(*POSTGRESQL)
async def test_the_callable_of_the_database_is_asked_at_each_begin(store: Store) -> None:
    async with store.make(set_local=of_request, pool_size=5) as database:

        async def request(name: str | None) -> None:
            tenant.set(name)
            for session_of in (database.session, database.read_session):
                async with session_of() as session:
                    assert await seen(session) == (name or "nobody")
                async with session_of(set_local={"app.tenant": "other"}) as session:
                    assert await seen(session) == "other"

        await asyncio.gather(*(asyncio.create_task(request(name)) for name in ["a", "b", None] * 3))
        tenant.set("c")
        assert await database.run(seen) == "c"
        tenant.set(None)


@on(*POSTGRESQL)
async def test_a_read_session_with_settings_is_one_read_only_transaction(store: Store) -> None:
    async with store.make(pool_size=5) as database:
        async with database.read_session(set_local={"app.tenant": "7"}) as session:
            first = await session.scalar(text("SELECT now()"))
            assert await seen(session) == "7"
            assert await session.scalar(text("SHOW transaction_read_only")) == "on"
            assert await session.scalar(text("SELECT now()")) == first
            with pytest.raises(ReadOnlySession):
                await session.execute(text("DELETE FROM note"))
        async with database.read_session() as session:
            assert await seen(session) == "nobody"
            assert await session.scalar(text("SHOW transaction_read_only")) == "off"
        store.assert_conserved(database)


@on(Kind("psycopg", "postgresql"))
async def test_threads_have_them_too(store: Store) -> None:
    database = store.make(set_local=of_request)

    def work() -> None:
        tenant.set("9")
        with database.sync_session() as session:
            assert session.scalar(SEEN) == "9"
        with database.sync_read_session(set_local={"app.tenant": "10"}) as session:
            assert session.scalar(SEEN) == "10"

    await asyncio.to_thread(work)
    await database.close()


@on(*POSTGRESQL)
@pytest.mark.parametrize("savepoint", [False, True])
async def test_values_are_values_and_no_statements(store: Store, savepoint: bool) -> None:
    hostile = "7'; DROP TABLE note; --"
    async with (
        store.make() as database,
        database.session(set_local={"app.tenant": hostile, "app.user": "Zoë"}) as session,
    ):
        if savepoint:
            async with session.begin_nested():
                assert await seen(session) == hostile
        assert await seen(session) == hostile
        assert await session.scalar(text("SELECT current_setting('app.user')")) == "Zoë"


@on(*POSTGRESQL)
async def test_a_transaction_whose_settings_cannot_be_told_or_set_does_not_begin(store: Store) -> None:
    def unknown() -> dict[str, str]:
        raise LookupError("no tenant")

    async with store.make(set_local=unknown) as database:
        with pytest.raises(LookupError, match="no tenant"):
            async with database.session() as session:
                await session.execute(text("INSERT INTO note VALUES (1, 'x')"))
        store.assert_conserved(database)
    async with store.make() as database:
        for values, error in [({"app.tenant": 7}, TypeError), ({"no such": "x"}, exc.DBAPIError)]:
            with pytest.raises(error):
                async with database.session(set_local=values) as session:  # type: ignore[arg-type]
                    await session.execute(text("INSERT INTO note VALUES (1, 'x')"))
        store.assert_conserved(database)
    assert store.rows() == 0


@on(MARIADB[0], AIOSQLITE[0])
async def test_they_are_refused_where_they_would_outlive_the_transaction(store: Store) -> None:
    with pytest.raises(exc.InvalidRequestError, match="needs PostgreSQL"):
        store.make(set_local=of_request)
    async with store.make() as database:
        with pytest.raises(exc.InvalidRequestError, match="needs PostgreSQL"):
            async with database.session(set_local={"app.tenant": "7"}):
                pass
