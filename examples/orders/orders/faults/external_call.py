"""A call of another service in the middle of a transaction.

The payment provider takes its time, and for as long this request keeps its connection, the locks on stock and money,
and an open transaction on the server. Right is to call before the transaction or after it, as `confirmation.py` does.
"""

from __future__ import annotations

import os

import httpx
from fastapi import APIRouter, status

from orders import schemas, shop
from orders.database import WriteDB
from orders.models import Order

router = APIRouter()

# Where the provider listens; it answers any POST.
PAYMENT_URL = os.environ.get("ORDERS_PAYMENT_URL", "http://127.0.0.1:8001/charges")


@router.post("/orders", status_code=status.HTTP_201_CREATED, response_model=schemas.OrderOut)
async def place_order_and_charge(wanted: schemas.OrderIn, session: WriteDB) -> Order:
    quantities = {line.product_id: line.quantity for line in wanted.lines}
    order = await shop.place_order(session, wanted.customer_id, quantities)
    await charge(order)
    return order


async def charge(order: Order) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(PAYMENT_URL, json={"order": order.id, "cents": order.total})
    answer.raise_for_status()
