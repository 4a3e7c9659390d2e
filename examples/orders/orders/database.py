"""The database of this service, and the two sessions that endpoints ask for."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy.ext.asyncio import AsyncSession

from poolkeeper import Database
from poolkeeper.fastapi import Keeper

db = Database.from_env()
keeper = Keeper(db)

WriteDB = Annotated[AsyncSession, keeper.write]
ReadDB = Annotated[AsyncSession, keeper.read]
