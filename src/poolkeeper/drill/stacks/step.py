"""A stock pool as one of the lessons leaves it: what the stack's settings name is set, all else is as it comes."""

from __future__ import annotations

import os
from typing import Annotated, Any

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from poolkeeper.drill.stacks.stock import StockDatabase, StockKeeper, connect_args, setting, url

_COUNTS = "pool_size", "max_overflow"
_SWITCHES: dict[str, dict[str, Any]] = {
    "pool_pre_ping": {"pool_pre_ping": True},
    "pool_null": {"poolclass": NullPool},
}


def _is_set(name: str) -> bool:
    return f"DRILL_{name.upper()}" in os.environ


# Counts are whole; an age below a second is only of use in a drill.
_options: dict[str, Any] = {name: int(setting(name)) for name in _COUNTS if _is_set(name)}
if _is_set("pool_recycle"):
    _options["pool_recycle"] = setting("pool_recycle")
for _name, _option in _SWITCHES.items():
    if _is_set(_name):
        _options |= _option

db = StockDatabase(create_async_engine(url(), connect_args=connect_args(), **_options))
keeper = StockKeeper(db)

WriteDB = ReadDB = Annotated[AsyncSession, keeper.get_db]
