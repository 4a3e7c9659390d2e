"""A session that nobody closes.

It is opened without `async with`, and the list outlives the request: the connection is in use for good, although the
task that took it has ended. After `pool_size` requests nobody gets one.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.ext.asyncio import AsyncSession

from orders import schemas, shop
from orders.database import db
from orders.models import Customer

router = APIRouter()

last_seen: list[AsyncSession] = []


@router.get("/customers/{customer_id}", response_model=schemas.CustomerOut)
async def get_customer_and_leak(customer_id: Annotated[schemas.Id, Path()]) -> Customer:
    session = AsyncSession(db.engine)
    last_seen.append(session)
    customer = await session.get(Customer, customer_id)
    if customer is None:
        raise shop.not_found(Customer, customer_id)
    return customer
