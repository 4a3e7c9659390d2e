"""Arguments that a KeeperPool refuses: all at once, each with what was seen and what is needed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import async_engine_from_config, create_async_engine

from poolkeeper.pool import KeeperPool

URL = "sqlite+aiosqlite:///notes.db"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pool_size": -1}, "pool_size is -1, it must be at least 0"),
        ({"min_idle": 6}, "min_idle is 6, more than pool_size 5 can keep"),
        ({"connects_at_once": 0}, "connects_at_once is 0, it must be above 0"),
        ({"ping_timeout": 0}, "ping_timeout is 0, it must be above 0"),
        ({"keepalive": -1}, "keepalive is -1, it must be above 0"),
        ({"recycle_jitter": 1}, "recycle_jitter is 1, it is a share"),
        ({"max_waiting": True}, "max_waiting is True, a number is needed"),
    ],
)
def test_a_bad_argument_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(exc.ArgumentError, match=said):
        create_async_engine(URL, poolclass=KeeperPool, **arguments)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(exc.ArgumentError, match=r"ping_after.*keepalive"):
        create_async_engine(URL, poolclass=KeeperPool, ping_after=-1, keepalive=0)


def test_text_from_a_configuration_is_refused_by_name() -> None:
    settings = {"sqlalchemy.url": URL, "sqlalchemy.min_idle": "1"}
    with pytest.raises(exc.ArgumentError, match="min_idle is '1', a number is needed"):
        async_engine_from_config(settings, poolclass=KeeperPool)


def test_none_means_without_a_limit_where_it_is_allowed() -> None:
    pool = create_async_engine(
        URL, poolclass=KeeperPool, pool_timeout=None, max_idle=None, keepalive=None, max_waiting=None
    ).pool
    assert isinstance(pool, KeeperPool)
    assert pool.timeout() == float("inf")
