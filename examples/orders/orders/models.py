"""The tables. Money is a whole number of cents, so that it adds up."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Dialect, ForeignKey, Index, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

# Several copies of the shop can share one database, each under a prefix of its own.
PREFIX = os.environ.get("ORDERS_TABLE_PREFIX", "")

# SQLite numbers rows by itself only in a column of the type INTEGER.
RowNumber = BigInteger().with_variant(Integer, "sqlite")

Id = Annotated[int, mapped_column(RowNumber, primary_key=True)]
Count = Annotated[int, mapped_column(BigInteger)]
Cents = Annotated[int, mapped_column(BigInteger)]


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python also where the database knows no time zones (MySQL, SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {str: String(200), datetime: Moment}  # noqa: RUF012


class OrderStatus(StrEnum):
    PAID = "paid"
    CANCELLED = "cancelled"


class Customer(Base):
    __tablename__ = f"{PREFIX}customers"
    __table_args__ = (CheckConstraint("balance >= 0", name="balance_not_negative"),)

    id: Mapped[Id]
    name: Mapped[str]
    email: Mapped[str]
    balance: Mapped[Cents]


class Product(Base):
    __tablename__ = f"{PREFIX}products"
    __table_args__ = (
        CheckConstraint("stock >= 0", name="stock_not_negative"),
        CheckConstraint("price >= 0", name="price_not_negative"),
    )

    id: Mapped[Id]
    name: Mapped[str]
    price: Mapped[Cents]
    stock: Mapped[Count]


class Order(Base):
    __tablename__ = f"{PREFIX}orders"
    __table_args__ = (Index(None, "customer_id", "id"),)

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(RowNumber, ForeignKey(Customer.id))
    status: Mapped[str] = mapped_column(String(20), default=OrderStatus.PAID)
    total: Mapped[Cents]
    placed_at: Mapped[datetime] = mapped_column(default=now)
    confirmed_at: Mapped[datetime | None]

    # Nothing is loaded behind the code's back: a query names what it needs.
    lines: Mapped[list[OrderLine]] = relationship(lazy="raise", order_by="OrderLine.product_id")


class OrderLine(Base):
    __tablename__ = f"{PREFIX}order_lines"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity_positive"),)

    order_id: Mapped[int] = mapped_column(RowNumber, ForeignKey(Order.id), primary_key=True)
    product_id: Mapped[int] = mapped_column(RowNumber, ForeignKey(Product.id), primary_key=True, autoincrement=False)
    quantity: Mapped[Count]
    unit_price: Mapped[Cents]
