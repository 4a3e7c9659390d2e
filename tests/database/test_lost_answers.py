"""The answer to a COMMIT is lost: it is never guessed, and whoever can be asked decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Timer
from typing import Any

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from tests.database.stores import BLOCKING, MARIADB, POSTGRESQL, Store, on
from tests.database.test_commit_unknown import INSERT

from poolkeeper import CommitUnknown, Database
from poolkeeper.testing import FaultProxy

pytestmark = pytest.mark.anyio
COUNT = text("SELECT count(*) FROM note WHERE id = :id")
LOST = pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])


async def was_inserted(session: AsyncSession, *_args: object) -> bool:
    return bool(await session.scalar(COUNT, {"id": 1}))


def losing(store: Store, proxy: FaultProxy, attempts: list[int], *, applied: bool = True) -> Callable[..., Any]:
    """Work whose first COMMIT loses its answer: it is cut off on its way to the server, or on the way back.

    Either way takes 0.4 s.
    """
    cutting: list[asyncio.Task[None]] = []

    async def cut() -> None:
        await asyncio.sleep(0.1)
        while applied and not await asyncio.to_thread(store.rows):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        proxy.reset()
        proxy.heal()

    async def work(session: AsyncSession) -> int:
        attempts.append(len(attempts) + 1)
        await session.execute(INSERT, {"id": 1})
        if len(attempts) == 1:
            proxy.latency = 0.4
            cutting.append(asyncio.create_task(cut()))
        return attempts[-1]

    return work


@on(*POSTGRESQL, *MARIADB)
@LOST
async def test_a_lost_answer_is_never_guessed(store: Store, proxy: FaultProxy, applied: bool) -> None:
    attempts: list[int] = []
    async with Database(proxy.url(store.url), min_idle=0) as database:
        with pytest.raises(CommitUnknown):
            await database.run(losing(store, proxy, attempts, applied=applied))
        assert attempts == [1]
        assert store.rows() == applied
        retries = database.snapshot().retries
        assert retries is not None
        assert (retries.unknown, retries.retried) == (1, {})


@on(*POSTGRESQL, *MARIADB)
@LOST
async def test_who_can_be_asked_decides(store: Store, proxy: FaultProxy, applied: bool) -> None:
    attempts: list[int] = []
    async with Database(proxy.url(store.url), min_idle=0) as database:
        work = database.transactional(applied=was_inserted)(losing(store, proxy, attempts, applied=applied))
        assert await work() == len(attempts) == (1 if applied else 2)
        assert store.rows() == 1


@on(POSTGRESQL[0])
async def test_a_commit_that_arrives_after_the_look_is_found_when_the_next_attempt_fails(
    store: Store, proxy: FaultProxy
) -> None:
    attempts: list[int] = []
    answers = [False, True]

    async def looks_too_early(_session: AsyncSession) -> bool:
        return answers.pop(0)

    async with Database(proxy.url(store.url), min_idle=0) as database:
        assert await database.transactional(applied=looks_too_early)(losing(store, proxy, attempts))() == 1
        assert attempts == [1, 2]
        assert store.rows() == 1


@on(POSTGRESQL[0])
async def test_the_question_is_asked_as_often_as_the_work_may_be_tried(store: Store, proxy: FaultProxy) -> None:
    asked = 0

    async def is_away_twice(_session: AsyncSession) -> bool:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise exc.OperationalError("", {}, Exception(), connection_invalidated=True)
        return True

    async with Database(proxy.url(store.url), min_idle=0, retry_attempts=1) as database:
        work = database.transactional(attempts=3, applied=is_away_twice)(losing(store, proxy, []))
        assert (await work(), asked) == (1, 3)


@pytest.mark.slow
@on(POSTGRESQL[0])
async def test_an_unanswered_question_leaves_the_doubt(store: Store, proxy: FaultProxy) -> None:
    async def fails(_session: AsyncSession) -> bool:
        raise LookupError("nobody knows")

    async with Database(proxy.url(store.url), min_idle=0) as database:
        with pytest.raises(CommitUnknown) as unknown:
            await database.transactional(applied=fails)(losing(store, proxy, []))()
        assert unknown.value.__notes__ == ["Whether it was applied could not be asked: LookupError: nobody knows"]


@on(*BLOCKING)
async def test_a_lost_answer_on_threads(store: Store, proxy: FaultProxy) -> None:
    attempts = 0

    def work(session: Session) -> int:
        nonlocal attempts
        attempts += 1
        session.execute(INSERT, {"id": 1})
        if attempts == 1:
            proxy.drop("existing")
            # The first attempt's row is locked by its silent session until that has ended.
            Timer(0.2, proxy.reset).start()
        return attempts

    def applied(session: Session) -> bool:
        return bool(session.scalar(COUNT, {"id": 1}))

    async with Database(proxy.url(store.url), min_idle=0, command_timeout=0.7) as database:
        run = database.sync_transactional(applied=applied)(work)
        assert await asyncio.to_thread(run) == 2
        assert store.rows() == 1
