"""What the shop does to its stock and its money, each inside the caller's transaction.

Two rules keep it right under concurrency, on every database:
- A row is changed by one conditional UPDATE and the number of rows it met decides. Reading first and writing later
  would sell the last piece twice.
- Rows are locked in one order everywhere: order, products by id, customers by id. Two requests can then wait for each
  other, but never in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from fastapi import HTTPException, status
from sqlalchemy import CursorResult, Update, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from orders.models import Customer, Order, OrderLine, OrderStatus, Product


async def place_order(session: AsyncSession, customer_id: int, wanted: Mapping[int, int]) -> Order:
    """Take the stock (product id -> quantity) and the money, and return the new order with its lines."""
    for product_id in sorted(wanted):
        await take_stock(session, product_id, wanted[product_id])
    rows = await session.execute(select(Product.id, Product.price).where(Product.id.in_(wanted)).order_by(Product.id))
    lines = [OrderLine(product_id=id_, quantity=wanted[id_], unit_price=price) for id_, price in rows]
    order = Order(customer_id=customer_id, total=sum(line.quantity * line.unit_price for line in lines), lines=lines)
    await take_money(session, customer_id, order.total)
    session.add(order)
    await session.flush()
    return order


async def cancel_order(session: AsyncSession, order_id: int) -> Order:
    """Give stock and money back, once: the second of two callers meets a cancelled order."""
    paid = Order.id == order_id, Order.status == OrderStatus.PAID
    if not await rows_changed(session, update(Order).where(*paid).values(status=OrderStatus.CANCELLED)):
        await explain_missing(session, Order, order_id, f"order {order_id} is not paid")
    order = await session.get_one(Order, order_id, options=[selectinload(Order.lines)])
    for line in order.lines:
        await add_stock(session, line.product_id, line.quantity)
    await add_money(session, order.customer_id, order.total)
    return order


async def transfer(session: AsyncSession, payer: int, payee: int, amount: int) -> None:
    if payer < payee:
        await take_money(session, payer, amount)
        await add_money(session, payee, amount)
    else:
        await add_money(session, payee, amount)
        await take_money(session, payer, amount)


async def take_stock(session: AsyncSession, product_id: int, quantity: int) -> None:
    enough = Product.id == product_id, Product.stock >= quantity
    if not await rows_changed(session, update(Product).where(*enough).values(stock=Product.stock - quantity)):
        await explain_missing(session, Product, product_id, f"product {product_id} is out of stock")


async def add_stock(session: AsyncSession, product_id: int, quantity: int) -> None:
    change = update(Product).where(Product.id == product_id).values(stock=Product.stock + quantity)
    if not await rows_changed(session, change):
        raise not_found(Product, product_id)


async def take_money(session: AsyncSession, customer_id: int, amount: int) -> None:
    enough = Customer.id == customer_id, Customer.balance >= amount
    if not await rows_changed(session, update(Customer).where(*enough).values(balance=Customer.balance - amount)):
        await explain_missing(session, Customer, customer_id, f"customer {customer_id} has not enough money")


async def add_money(session: AsyncSession, customer_id: int, amount: int) -> None:
    change = update(Customer).where(Customer.id == customer_id).values(balance=Customer.balance + amount)
    if not await rows_changed(session, change):
        raise not_found(Customer, customer_id)


async def rows_changed(session: AsyncSession, change: Update) -> int:
    # Nothing that this change touches is in the session yet, so there is nothing to bring up to date.
    result = await session.execute(change, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


async def explain_missing(
    session: AsyncSession, table: type[Customer | Order | Product], row_id: int, conflict: str
) -> None:
    """Why a conditional UPDATE met no row: there is none (404), or it was in the wrong state (409)."""
    exists = await session.scalar(select(table.id).where(table.id == row_id))
    raise not_found(table, row_id) if exists is None else HTTPException(status.HTTP_409_CONFLICT, conflict)


def not_found(table: type[Customer | Order | Product], row_id: int) -> HTTPException:
    return HTTPException(status.HTTP_404_NOT_FOUND, f"no {table.__name__.lower()} {row_id}")
