from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from sqlalchemy import func, select

from orders import schemas
from orders.database import ReadDB
from orders.models import Customer, Order, OrderStatus, Product

router = APIRouter()

INDEX = files("orders").joinpath("index.html").read_text(encoding="utf-8")


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def index() -> str:
    return INDEX


@router.get("/audit", tags=["audit"])
async def audit(session: ReadDB) -> schemas.Audit:
    """Do the books balance? One statement, because only one statement sees all tables at one moment."""
    paid = select(func.coalesce(func.sum(Order.total), 0)).where(Order.status == OrderStatus.PAID).scalar_subquery()
    lowest = select(func.min(Product.stock)).scalar_subquery()
    row = (await session.execute(select(func.sum(Customer.balance), paid, lowest))).one()
    balances, paid_orders, lowest_stock = (int(number) for number in row)
    return schemas.Audit(
        balances=balances, paid_orders=paid_orders, money=balances + paid_orders, lowest_stock=lowest_stock
    )
