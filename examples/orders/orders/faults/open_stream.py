"""A streamed response that keeps its session to the end.

The client decides how long that takes: a slow one, or one that stops reading, keeps the connection for as long. Right
is a session per page and none across a `yield`, as in `routers/orders.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from orders import schemas
from orders.database import db
from orders.models import Order

router = APIRouter()

PAGE = 100


@router.get("/orders/export")
async def export_in_one_session() -> StreamingResponse:
    return StreamingResponse(all_orders(), media_type="application/x-ndjson")


async def all_orders() -> AsyncIterator[str]:
    async with db.read_session() as session:
        after = 0
        while True:
            page = select(Order).where(Order.id > after).order_by(Order.id).limit(PAGE)
            orders = (await session.scalars(page.options(selectinload(Order.lines)))).all()
            if not orders:
                return
            yield "".join(f"{schemas.OrderOut.model_validate(order).model_dump_json()}\n" for order in orders)
            after = orders[-1].id
            session.expunge_all()
