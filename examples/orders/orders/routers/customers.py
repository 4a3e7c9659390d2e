from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from orders import schemas, shop
from orders.database import ReadDB, WriteDB
from orders.models import Customer, Order

router = APIRouter(tags=["customers"])

RECENT = 10


@router.get("/customers/{customer_id}")
async def get_customer(customer_id: Annotated[schemas.Id, Path()], session: ReadDB) -> schemas.CustomerWithOrders:
    customer = await session.get(Customer, customer_id)
    if customer is None:
        raise shop.not_found(Customer, customer_id)
    recent = select(Order).where(Order.customer_id == customer_id).order_by(Order.id.desc()).limit(RECENT)
    orders = await session.scalars(recent.options(selectinload(Order.lines)))
    return schemas.CustomerWithOrders(
        id=customer.id,
        name=customer.name,
        balance=customer.balance,
        recent_orders=[schemas.OrderOut.model_validate(order) for order in orders],
    )


@router.post("/transfers", status_code=status.HTTP_204_NO_CONTENT)
async def transfer(wanted: schemas.TransferIn, session: WriteDB) -> None:
    await shop.transfer(session, wanted.from_customer_id, wanted.to_customer_id, wanted.amount)
