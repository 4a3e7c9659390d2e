"""A second connection, taken while the first is held.

Alone it works. As soon as there are as many callers as connections, each holds one and waits for another that nobody
will give back; only `pool_timeout` ends it. Right is to pass the session down.
"""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import func, select

from orders import schemas
from orders.database import ReadDB, db
from orders.models import Customer, Order, OrderStatus, Product

router = APIRouter()


@router.get("/audit")
async def audit_with_two_connections(session: ReadDB) -> schemas.Audit:
    balances = int(await session.scalar(select(func.sum(Customer.balance))) or 0)
    paid_orders = await money_in_orders()
    lowest = int(await session.scalar(select(func.min(Product.stock))) or 0)
    return schemas.Audit(balances=balances, paid_orders=paid_orders, money=balances + paid_orders, lowest_stock=lowest)


async def money_in_orders() -> int:
    async with db.read_session() as session:
        return int(await session.scalar(select(func.sum(Order.total)).where(Order.status == OrderStatus.PAID)) or 0)
