"""The routes that a drill adds to the service: work that can be found again, work that takes its time, the pool."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

LEDGER = "drill_ledger"

_TABLE = f"{os.environ.get('ORDERS_TABLE_PREFIX', '')}{LEDGER}"
_BOOK = text(f"INSERT INTO {_TABLE} (number, payer, payee, amount) VALUES (:number, :payer, :payee, :amount)")  # noqa: S608
_BOOKED = text(f"SELECT count(*) FROM {_TABLE} WHERE number = :number")  # noqa: S608
_SLEEP = text("SELECT pg_sleep(:seconds)")

Seconds = Annotated[float, Field(ge=0, le=60)]


class Booking(BaseModel):
    """A transfer with the number that its caller gave it. `hold` is how long (seconds) its transaction is busy."""

    number: int
    payer: int
    payee: int
    amount: int
    hold: Seconds = 0.0


def routes(database: Any, *, write: Any, read: Any) -> APIRouter:
    """For a service whose `database` has an engine, and whose sessions are these dependencies."""
    shop: Any = import_module("orders.shop")
    router = APIRouter(prefix="/drill")

    @router.post("/transfers", status_code=204)
    async def book(wanted: Booking, session: AsyncSession = write) -> None:  # pyright: ignore[reportUnusedFunction]
        """Move the money, and write down in the same transaction that it was moved."""
        await session.execute(_BOOK, wanted.model_dump(exclude={"hold"}))
        if wanted.hold:
            await session.execute(_SLEEP, {"seconds": wanted.hold})
        # Last, so that nobody waits for these rows for longer than it takes.
        await shop.transfer(session, wanted.payer, wanted.payee, wanted.amount)

    @router.get("/transfers/{number}", status_code=204)
    async def booked(number: int, session: AsyncSession = read) -> None:  # pyright: ignore[reportUnusedFunction]
        """Whether it is written down, as far as a reader can see."""
        if not await session.scalar(_BOOKED, {"number": number}):
            raise HTTPException(404)

    @router.get("/slow")
    async def slow(  # pyright: ignore[reportUnusedFunction]
        seconds: Annotated[float, Query(ge=0, le=60)], session: AsyncSession = read
    ) -> None:
        """A statement that takes so long."""
        await session.execute(_SLEEP, {"seconds": seconds})

    @router.get("/pool")
    async def pool() -> dict[str, int]:  # pyright: ignore[reportUnusedFunction]
        """How many connections are in use; asking takes none."""
        return {"in_use": database.engine.sync_engine.pool.checkedout()}

    return router
