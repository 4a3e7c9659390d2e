from __future__ import annotations

import asyncio
import threading

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
