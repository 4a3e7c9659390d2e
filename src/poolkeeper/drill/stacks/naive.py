"""The first lines of a tutorial: every default, a pool of 5 and 10 more."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from poolkeeper.drill.stacks.stock import StockDatabase, StockKeeper, connect_args, url

db = StockDatabase(create_async_engine(url(), connect_args=connect_args()))
keeper = StockKeeper(db)

WriteDB = ReadDB = Annotated[AsyncSession, keeper.get_db]
