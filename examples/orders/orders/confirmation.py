"""The confirmation of an order, sent after the response.

A background task gets ids and opens sessions of its own: the request's session has ended by then.
"""

from __future__ import annotations

import logging

from sqlalchemy import select, update

from orders.database import db
from orders.models import Customer, Order, now

logger = logging.getLogger(__name__)


async def send_confirmation(order_id: int) -> None:
    async with db.read_session() as session:
        email = await session.scalar(select(Customer.email).join(Order).where(Order.id == order_id))
    # The slow part stands between the sessions, where it keeps no connection from anybody.
    await deliver(email, order_id)
    async with db.session() as session:
        await session.execute(
            update(Order).where(Order.id == order_id, Order.confirmed_at.is_(None)).values(confirmed_at=now())
        )


async def deliver(email: str | None, order_id: int) -> None:
    """Where a real shop hands the message to its mail provider."""
    logger.debug("order %d is confirmed to %s", order_id, email)
