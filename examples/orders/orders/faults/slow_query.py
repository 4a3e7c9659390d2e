"""A statement that does far too much work.

It compares every product with every other, four times over: 50 products are quick to read and make six million rows.
The connection is in use for as long as the server counts. Right is a condition that an index can help with, a LIMIT, or
no such question at all.
"""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from orders import schemas
from orders.database import ReadDB
from orders.models import Product

router = APIRouter()

BUDGET = 10_000
PAGE = 20


@router.get("/products", response_model=list[schemas.ProductOut])
async def list_products_slowly(session: ReadDB) -> list[Product]:
    first, second, third, fourth = (aliased(Product) for _ in range(4))
    price = first.price + second.price + third.price + fourth.price
    bundles = select(func.count()).select_from(first, second, third, fourth).where(price <= BUDGET)
    affordable = int(await session.scalar(bundles) or 0)
    products = await session.scalars(select(Product).order_by(Product.id).limit(PAGE if affordable else 0))
    return list(products)
