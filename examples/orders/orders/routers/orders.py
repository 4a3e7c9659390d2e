from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path, Query, status
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from orders import schemas, shop
from orders.confirmation import send_confirmation
from orders.database import ReadDB, WriteDB, db
from orders.models import Order

router = APIRouter(prefix="/orders", tags=["orders"])

OrderId = Annotated[schemas.Id, Path()]
EXPORT_PAGE = 100


@router.post("", status_code=status.HTTP_201_CREATED, response_model=schemas.OrderOut)
async def place_order(wanted: schemas.OrderIn, session: WriteDB, background: BackgroundTasks) -> Order:
    quantities: Counter[int] = Counter()
    for line in wanted.lines:
        quantities[line.product_id] += line.quantity
    order = await shop.place_order(session, wanted.customer_id, quantities)
    background.add_task(send_confirmation, order.id)
    return order


@router.get("/export")
async def export_orders(
    after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0, limit: Annotated[int, Query(ge=1, le=1_000_000)] = 1_000_000
) -> StreamingResponse:
    """All orders as JSON lines, in the order of their ids."""
    return StreamingResponse(exported_orders(after, limit), media_type="application/x-ndjson")


@router.get("/{order_id}", response_model=schemas.OrderOut)
async def get_order(order_id: OrderId, session: ReadDB) -> Order:
    order = await session.get(Order, order_id, options=[selectinload(Order.lines)])
    if order is None:
        raise shop.not_found(Order, order_id)
    return order


@router.post("/{order_id}/cancel", response_model=schemas.OrderOut)
async def cancel_order(order_id: OrderId, session: WriteDB) -> Order:
    return await shop.cancel_order(session, order_id)


async def exported_orders(after: int, limit: int) -> AsyncIterator[str]:
    """A session per page and none across a `yield`: a slow reader keeps no connection from anybody."""
    while limit > 0 and (page := await page_of_orders(after, min(limit, EXPORT_PAGE))):
        yield "".join(f"{order.model_dump_json()}\n" for order in page)
        after, limit = page[-1].id, limit - len(page)


async def page_of_orders(after: int, size: int) -> list[schemas.OrderOut]:
    page = select(Order).where(Order.id > after).order_by(Order.id).limit(size).options(selectinload(Order.lines))
    async with db.read_session() as session:
        return [schemas.OrderOut.model_validate(order) for order in await session.scalars(page)]
