"""Code that blocks, in an async endpoint.

While it runs the event loop stands still, and with it every other request of this process: answers of the database are
not read, and connections that are free are not given back. Right is `asyncio.to_thread`, or a `def` endpoint.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path

from orders import schemas, shop
from orders.database import ReadDB
from orders.models import Product

router = APIRouter()

# How long (seconds) the printer takes for a label.
LABEL = 0.4


@router.get("/products/{product_id}", response_model=schemas.ProductOut)
async def get_product_with_label(product_id: Annotated[schemas.Id, Path()], session: ReadDB) -> Product:
    product = await session.get(Product, product_id)
    if product is None:
        raise shop.not_found(Product, product_id)
    print_label()
    return product


def print_label() -> None:
    time.sleep(LABEL)
