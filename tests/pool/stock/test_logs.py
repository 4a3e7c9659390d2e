"""`sqlalchemy.pool`, `echo_pool` and `pool_logging_name`: code that reads these lines reads the same ones."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import Pool
from sqlalchemy.pool import AsyncAdaptedQueuePool
from tests.pool.stock.departures import LOG_WORDS
from tests.pool.stock.pools import KeeperPool, Maker, at_rest, on_every_driver, open_one
from tests.pool.stock.recorder import pool_log
from tests.pool.stock.scripts import SCRIPTS, Script, commit_and_roll_back, dispose, forget

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("pool_class", [KeeperPool], ids=["both"])


async def logged(make: Maker, pool_class: type[Pool], script: Script, level: int) -> list[str]:
    with pool_log(level) as log:
        engine = make.on(pool_class)(pool_size=2, pool_timeout=5, pool_pre_ping=False)
        await script(engine, make.store)
        await at_rest(engine)
    return log.lines


@both
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
async def test_the_same_lines(make: Maker, script: Script) -> None:
    ours = await logged(make, KeeperPool, script, logging.DEBUG)
    stock = await logged(make, AsyncAdaptedQueuePool, script, logging.DEBUG)
    theirs, instead = LOG_WORDS.get(script.__name__, ("", ""))
    assert ours == [line.replace(theirs, instead) if theirs else line for line in stock]


@both
async def test_the_same_lines_at_info(make: Maker) -> None:
    ours = await logged(make, KeeperPool, dispose, logging.INFO)
    assert ours == await logged(make, AsyncAdaptedQueuePool, dispose, logging.INFO)
    assert len(ours) == 4


@both
@on_every_driver
async def test_the_same_lines_on_every_driver(make: Maker) -> None:
    ours = await logged(make, KeeperPool, commit_and_roll_back, logging.DEBUG)
    assert ours == await logged(make, AsyncAdaptedQueuePool, commit_and_roll_back, logging.DEBUG)


async def test_nothing_is_logged_by_default(make: Maker, caplog: pytest.LogCaptureFixture) -> None:
    await open_one(make())
    assert [record for record in caplog.records if record.name.startswith("sqlalchemy.pool")] == []


@pytest.mark.parametrize(("echo", "level"), [(True, logging.INFO), ("debug", logging.DEBUG), (False, None)])
async def test_echo_pool(make: Maker, capsys: pytest.CaptureFixture[str], echo: Any, level: int | None) -> None:
    engine = make(echo_pool=echo, pool_logging_name=f"echo-{echo}")
    assert engine.pool.echo == echo
    for known in (logging.INFO, logging.DEBUG):
        assert engine.pool.logger.isEnabledFor(known) is (level is not None and known >= level)
    await open_one(engine)
    await engine.dispose()
    printed = capsys.readouterr().out
    assert ("Pool disposed. Pool size: 5" in printed) is (level is not None)
    assert ("being returned to pool" in printed) is (level == logging.DEBUG)
    _remove_handlers(engine.pool.logger)


def _remove_handlers(logger: Any) -> None:
    plain = getattr(logger, "logger", logger)
    for handler in tuple(plain.handlers):
        plain.removeHandler(handler)


async def test_pool_logging_name(make: Maker) -> None:
    engine = make(pool_logging_name="orders")
    assert engine.pool.logging_name == "orders"
    with pool_log(logging.DEBUG) as log:
        await open_one(engine)
    assert {record.name.rpartition(".")[2] for record in log.records} == {"orders"}


async def test_the_logger_is_below_sqlalchemy_pool(make: Maker) -> None:
    with pool_log(logging.DEBUG) as log:
        await open_one(make())
    assert log.records
    names = {record.name for record in log.records}
    assert {name.startswith("sqlalchemy.pool.") for name in names} == {True}
    assert {name.rpartition(".")[2] for name in names} == {make.pool_class.__name__}


async def test_a_forgotten_connection_is_an_error_in_the_log(make: Maker) -> None:
    engine = make(pool_size=1)
    with pool_log(logging.ERROR) as log:
        await forget(engine, make.store)
    (line,) = log.lines
    assert line.startswith("ERROR The garbage collector is trying to clean up non-checked-in connection")
