"""Whatever code commits in a rolled back session, nothing of it is there afterwards."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tests.servers import FreshDatabase

from poolkeeper import Database
from poolkeeper.fastapi import Keeper
from poolkeeper.testing import override_sessions, rolled_back, rolled_back_async

COUNT = text("SELECT count(*) FROM note")
ADD = text("INSERT INTO note VALUES (:number)")
NOWHERE = "127.0.0.1:9/none"


@pytest.fixture
def notes(fresh_database: FreshDatabase) -> FreshDatabase:
    fresh_database.execute("CREATE TABLE note (number int)")
    return fresh_database


@pytest.fixture
def engine(notes: FreshDatabase) -> Iterator[Engine]:
    engine = create_engine(notes.url("psycopg"), poolclass=NullPool)
    yield engine
    engine.dispose()


def rows(notes: FreshDatabase) -> int:
    return int(notes.query("SELECT count(*) FROM note")[0][0] or 0)


def test_a_commit_stays_for_the_session_and_is_gone_after_it(notes: FreshDatabase, engine: Engine) -> None:
    with rolled_back(engine) as session:
        session.execute(ADD, {"number": 1})
        session.commit()
        session.execute(ADD, {"number": 2})
        session.rollback()
        assert session.scalar(COUNT) == 1
        assert rows(notes) == 0
    assert rows(notes) == 0


def test_a_failing_test_leaves_nothing_either(notes: FreshDatabase, engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), rolled_back(engine) as session:
        session.execute(ADD, {"number": 1})
        session.commit()
        _ = 1 / 0
    assert rows(notes) == 0


def test_a_failed_statement_costs_only_what_was_not_committed(engine: Engine) -> None:
    with rolled_back(engine) as session:
        session.execute(ADD, {"number": 1})
        session.commit()
        with pytest.raises(Exception, match="invalid input syntax"):
            session.execute(text("INSERT INTO note VALUES ('x')"))
        session.rollback()
        assert session.scalar(COUNT) == 1


@pytest.mark.anyio
async def test_an_async_session_does_the_same(notes: FreshDatabase) -> None:
    engine = create_async_engine(notes.url(), poolclass=NullPool)
    async with rolled_back_async(engine) as session:
        await session.execute(ADD, {"number": 1})
        await session.commit()
        await session.execute(ADD, {"number": 2})
        await session.rollback()
        assert await session.scalar(COUNT) == 1
    await engine.dispose()
    assert await asyncio.to_thread(rows, notes) == 0


def app_of(keeper: Keeper, write: object, read: object, kind: type) -> FastAPI:
    app = FastAPI()
    keeper.install(app)

    if kind is Session:

        @app.post("/notes/{number}")
        def add(number: int, session: Annotated[Session, write]) -> int | None:
            session.execute(ADD, {"number": number})
            if number > 9:
                raise HTTPException(409)
            return session.scalar(COUNT)

        @app.put("/notes")
        def lose(session: Annotated[Session, read]) -> int | None:
            session.execute(ADD, {"number": 7})
            return session.scalar(COUNT)
    else:

        @app.post("/notes/{number}")
        async def add_async(number: int, session: Annotated[AsyncSession, write]) -> int | None:
            await session.execute(ADD, {"number": number})
            if number > 9:
                raise HTTPException(409)
            return await session.scalar(COUNT)

        @app.put("/notes")
        async def lose_async(session: Annotated[AsyncSession, read]) -> int | None:
            await session.execute(ADD, {"number": 7})
            return await session.scalar(COUNT)

    return app


async def ask(app: FastAPI) -> list[tuple[int, object]]:
    wanted = [("POST", "/notes/1"), ("POST", "/notes/10"), ("PUT", "/notes"), ("POST", "/notes/2")]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notes") as client:
        answers = [await client.request(*each) for each in wanted]
    return [(answer.status_code, answer.json() if answer.status_code == 200 else None) for answer in answers]


# What is committed stays, what is refused or only read does not.
EXPECTED = [(200, 1), (409, None), (200, 2), (200, 2)]


@pytest.mark.anyio
async def test_requests_of_an_app_work_in_the_tests_session(notes: FreshDatabase) -> None:
    keeper = Keeper(Database(f"postgresql+asyncpg://nobody@{NOWHERE}"))
    app = app_of(keeper, keeper.write, keeper.read, AsyncSession)
    engine = create_async_engine(notes.url(), poolclass=NullPool)
    async with rolled_back_async(engine) as session:
        with override_sessions(app, keeper, session):
            assert await ask(app) == EXPECTED
        assert await session.scalar(COUNT) == 2
    await engine.dispose()
    assert await asyncio.to_thread(rows, notes) == 0


@pytest.mark.anyio
async def test_so_do_requests_of_an_app_with_sync_endpoints(notes: FreshDatabase, engine: Engine) -> None:
    keeper = Keeper(Database(f"postgresql+psycopg://nobody@{NOWHERE}"))
    app = app_of(keeper, keeper.sync_write, keeper.sync_read, Session)
    with rolled_back(engine) as session, override_sessions(app, keeper, session):
        assert await ask(app) == EXPECTED
    assert await asyncio.to_thread(rows, notes) == 0


def test_overrides_of_the_app_are_put_back(engine: Engine) -> None:
    keeper = Keeper(Database(f"postgresql+psycopg://nobody@{NOWHERE}"))
    app, before = FastAPI(), {keeper.sync_write.dependency: print}
    app.dependency_overrides = dict(before)
    with rolled_back(engine) as session, override_sessions(app, keeper, session):
        assert app.dependency_overrides.keys() == {keeper.sync_write.dependency, keeper.sync_read.dependency}
        assert app.dependency_overrides[keeper.sync_write.dependency] is not print
    assert app.dependency_overrides == before
