"""The scripted database does as it is told, and no more."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncEngine

from poolkeeper.testing import assert_conserved
from poolkeeper.testing.scripted import ScriptedDatabase, VirtualTimeLoop
from poolkeeper.testing.scripted.errors import OperationalError

ONE = text("SELECT 1")


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(test)


async def use(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(ONE)).scalar_one())


@pytest.fixture
def database() -> ScriptedDatabase:
    return ScriptedDatabase()


def test_answers_and_counts(database: ScriptedDatabase) -> None:
    async def test() -> None:
        engine = database.engine()
        assert await use(engine) == 1
        assert (database.opened, database.closed, len(database.connections)) == (1, 0, 1)
        assert (database.statements.asked, database.rollbacks.asked, database.commits.asked) == (1, 1, 0)
        await engine.dispose()
        assert (database.opened, database.closed, database.connections) == (1, 1, ())

    run(test())


def test_every_request_takes_a_turn_of_the_loop(database: ScriptedDatabase) -> None:
    async def test() -> None:
        connecting = asyncio.ensure_future(database.connect())
        await asyncio.sleep(0)
        assert database.connects.under_way == 1
        connection = await connecting
        pinging = asyncio.ensure_future(connection.ping())
        await asyncio.sleep(0)
        assert database.pings.under_way == 1
        await pinging
        await connection.close()

    run(test())


def test_fails_a_number_of_times_with_the_error_given(database: ScriptedDatabase) -> None:
    async def test() -> None:
        engine = database.engine()
        database.connects.fail(ConnectionRefusedError, times=2)
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await use(engine)
        database.statements.fail(lambda: OperationalError("terminated", sqlstate="57P01"), times=1)
        with pytest.raises(exc.OperationalError) as raised:
            await use(engine)
        assert raised.value.orig is not None
        assert vars(raised.value.orig)["sqlstate"] == "57P01"
        assert await use(engine) == 1
        await engine.dispose()

    run(test())


def test_a_cancelled_connect_leaves_nothing_open(database: ScriptedDatabase) -> None:
    async def test() -> None:
        database.connects.hang()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await database.connect()
        assert (database.connects.under_way, database.connects.held) == (0, 0)
        database.connects.release()
        assert database.opened == 0

    run(test())


def test_the_answer_to_a_cancelled_request_is_not_taken_for_the_next_ones(database: ScriptedDatabase) -> None:
    async def test() -> None:
        connection = await database.connect()
        database.pings.fail(OperationalError, times=1)
        pinging = asyncio.ensure_future(connection.ping())
        for _ in range(2):
            await asyncio.sleep(0)
        pinging.cancel()
        await asyncio.wait([pinging])
        assert pinging.cancelled()
        await connection.ping()
        await connection.close()

    run(test())


def test_a_killed_connection_shows_in_its_socket_and_a_notice_too(database: ScriptedDatabase) -> None:
    async def test() -> None:
        connection = await database.connect()
        poll = select.poll()
        poll.register(connection, select.POLLIN | select.POLLRDHUP)
        assert poll.poll(0) == []
        connection.notice()
        assert poll.poll(0) == [(connection.fileno(), select.POLLIN)]
        await connection.ping()
        assert poll.poll(0) == []
        connection.kill()
        assert poll.poll(0)[0][1] & select.POLLHUP
        with pytest.raises(OperationalError, match="server closed"):
            await connection.ping()
        assert connection.closed
        assert database.connections == (connection,)
        await connection.close()
        assert database.connections == ()

    run(test())


def test_an_abort_ends_what_hangs_and_a_silent_peer_answers_nothing(database: ScriptedDatabase) -> None:
    async def test() -> None:
        connection = await database.connect()
        connection.silence()
        asyncio.get_running_loop().call_later(2, connection.abort)
        began = time.monotonic()
        with pytest.raises(OperationalError):
            await connection.ping()
        assert time.monotonic() - began == pytest.approx(2)
        assert database.closed == 1
        connection.abort()
        assert database.closed == 1

    run(test())


def test_a_connection_belongs_to_its_loop(database: ScriptedDatabase) -> None:
    connection = asyncio.run(database.connect())
    with pytest.raises(RuntimeError, match="different loop"):
        asyncio.run(connection.ping())
    connection.abort()


def test_two_requests_at_once_are_refused(database: ScriptedDatabase) -> None:
    async def test() -> None:
        connection = await database.connect()
        outcomes = await asyncio.gather(connection.ping(), connection.ping(), return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "InterfaceError"]
        await connection.close()

    run(test())


def test_the_isolation_level_is_the_drivers(database: ScriptedDatabase) -> None:
    async def test() -> None:
        engine = database.engine(isolation_level="AUTOCOMMIT")
        assert await use(engine) == 1
        assert (database.commits.asked, database.rollbacks.asked) == (0, 0)
        await engine.dispose()

    run(test())


def test_a_connection_nobody_returned_is_aborted(database: ScriptedDatabase) -> None:
    async def test() -> None:
        engine = database.engine()
        connection = await engine.raw_connection()
        with pytest.warns(exc.SAWarning, match="garbage collector"):
            del connection
        assert database.connections == ()
        await engine.dispose()

    run(test())


def test_virtual_time_passes_when_nothing_else_can_happen() -> None:
    async def test() -> None:
        real = time.perf_counter()
        began = time.monotonic()
        await asyncio.sleep(3600)
        assert time.monotonic() - began == pytest.approx(3600)
        assert time.perf_counter() - real < 60

    before = time.monotonic
    run(test())
    assert time.monotonic is before


def test_virtual_time_tells_a_deadlock() -> None:
    async def test() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="everybody waits"):
        run(test())


def test_conservation_is_checked_against_the_server(database: ScriptedDatabase) -> None:
    async def test() -> None:
        engine = database.engine()
        assert_conserved(engine.pool, 0)
        async with engine.connect():
            assert_conserved(engine.pool, len(database.connections))
        leaked = await database.connect()
        with pytest.raises(AssertionError, match="the server has 2 connections open, the pool 1"):
            assert_conserved(engine.pool, len(database.connections))
        leaked.abort()
        await engine.dispose()

    run(test())
