"""What guides for production say: a bounded pool, a ping at each checkout, an age, and a wait of half a minute."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from poolkeeper.drill.stacks.stock import StockDatabase, StockKeeper, connect_args, setting, url

db = StockDatabase(
    create_async_engine(
        url(),
        pool_size=20,
        max_overflow=0,
        pool_timeout=30,
        pool_recycle=int(setting("pool_recycle")),
        pool_pre_ping=True,
        connect_args=connect_args(),
    )
)
keeper = StockKeeper(db)

WriteDB = ReadDB = Annotated[AsyncSession, keeper.get_db]
