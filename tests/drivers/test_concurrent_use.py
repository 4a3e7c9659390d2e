"""What a driver does when one task ends the transaction while another still executes a statement in it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.drivers.conftest import Kind, Opener


@pytest.mark.anyio
async def test_a_driver_that_serialises_commands_lets_both_succeed_and_no_other_does(
    connect: Opener, kind: Kind, server_url: str
) -> None:
    opened = await connect(server_url)
    await opened.execute("SELECT 1")
    dialect, pooled = opened.connection.dialect, opened.connection.connection.dbapi_connection
    sleep = "SELECT pg_sleep(0.2)" if kind.is_postgresql else "SELECT sleep(0.2)"
    statement = asyncio.create_task(opened.execute(sleep))
    await asyncio.wait([statement], timeout=0.05)
    commit = asyncio.create_task(opened.run(lambda _connection: dialect.do_commit(pooled)))
    await asyncio.wait([statement, commit], timeout=1)
    succeeded = [task.done() and task.exception() is None for task in (statement, commit)]
    assert all(succeeded) is opened.driver.serialises_commands
    if not all(succeeded):
        opened.abort()
        # asyncmy forgets the first waiter, so not even a cut connection wakes it.
        statement.cancel()
        await asyncio.wait([statement, commit], timeout=5)
        with contextlib.suppress(Exception):
            await opened.run(lambda connection: connection.invalidate())
