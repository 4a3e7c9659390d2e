from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from poolkeeper.drivers import ConnectOptions, driver_for

ENDLESS = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")


def test_a_blocking_statement_is_interrupted_and_the_connection_lives_on() -> None:
    url = make_url("sqlite://")
    driver = driver_for(url, is_async=False)
    engine = create_engine(url, connect_args=driver.connect_args(ConnectOptions(statement_timeout=5)))
    with engine.connect() as connection:
        driver_connection = connection.connection.driver_connection
        assert driver.socket_of(driver_connection) is None
        threading.Timer(0.05, driver.abort, [driver_connection]).start()
        with pytest.raises(OperationalError, match="interrupted"):
            connection.execute(ENDLESS)
        assert not driver.is_closed(driver_connection)
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()
    assert driver.is_closed(driver_connection)
    driver.abort(driver_connection)


@pytest.mark.anyio
async def test_an_asyncio_statement_is_interrupted_and_the_connection_lives_on() -> None:
    url = make_url("sqlite+aiosqlite://")
    driver = driver_for(url, is_async=True)
    engine = create_async_engine(url, connect_args=driver.connect_args(ConnectOptions()))
    async with engine.connect() as connection:
        driver_connection = (await connection.get_raw_connection()).driver_connection
        running = asyncio.create_task(connection.execute(ENDLESS))
        await asyncio.wait([running], timeout=0.05)
        driver.abort(driver_connection)
        with pytest.raises(OperationalError, match="interrupted"):
            await running
        assert not driver.is_closed(driver_connection)
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await engine.dispose()
    assert driver.is_closed(driver_connection)
    driver.abort(driver_connection)


@pytest.mark.parametrize("cancels", [1, 3])
@pytest.mark.anyio
async def test_a_cancelled_writer_leaves_the_database_unlocked_and_no_task_behind(tmp_path: Path, cancels: int) -> None:
    url = make_url(f"sqlite+aiosqlite:///{tmp_path}/orders.db")
    engine = create_async_engine(url, connect_args=driver_for(url, is_async=True).connect_args(ConnectOptions()))
    slow = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT max(i) FROM n")

    async def write() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (id INT)"))
            await connection.execute(slow)

    before = asyncio.all_tasks()
    writer = asyncio.create_task(write())
    await asyncio.wait([writer], timeout=0.03)
    for _ in range(cancels):
        writer.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await writer
    # Its traceback is alive, and with it the cursor of the statement.
    assert cancelled.value.__traceback__ is not None
    async with asyncio.timeout(5):
        # The thread ends the statement and closes; nobody waits for it longer than that.
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
    with contextlib.closing(sqlite3.connect(tmp_path / "orders.db", timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
    await engine.dispose()
