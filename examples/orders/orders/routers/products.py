from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import select

from orders import schemas, shop
from orders.database import ReadDB, WriteDB
from orders.models import Product

router = APIRouter(prefix="/products", tags=["products"])

ProductId = Annotated[schemas.Id, Path()]


@router.get("", response_model=list[schemas.ProductOut])
async def list_products(
    session: ReadDB,
    after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Sequence[Product]:
    page = select(Product).where(Product.id > after).order_by(Product.id).limit(limit)
    return (await session.scalars(page)).all()


@router.get("/{product_id}", response_model=schemas.ProductOut)
async def get_product(product_id: ProductId, session: ReadDB) -> Product:
    product = await session.get(Product, product_id)
    if product is None:
        raise shop.not_found(Product, product_id)
    return product


@router.post("/{product_id}/restock", response_model=schemas.ProductOut)
async def restock(product_id: ProductId, delivery: schemas.Restock, session: WriteDB) -> Product:
    await shop.add_stock(session, product_id, delivery.quantity)
    return await session.get_one(Product, product_id)
