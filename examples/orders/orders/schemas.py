"""What goes in and out. A number that the database could not hold is refused here, with 422."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Quantity = Annotated[int, Field(ge=1, le=1_000)]
Cents = Annotated[int, Field(ge=1, le=10**12, description="Whole cents")]


class FromRow(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ProductOut(FromRow):
    id: int
    name: str
    price: int
    stock: int


class Restock(BaseModel):
    quantity: Quantity


class LineIn(BaseModel):
    product_id: Id
    quantity: Quantity


class OrderIn(BaseModel):
    customer_id: Id
    lines: Annotated[list[LineIn], Field(min_length=1, max_length=20)]


class LineOut(FromRow):
    product_id: int
    quantity: int
    unit_price: int


class OrderOut(FromRow):
    id: int
    customer_id: int
    status: str
    total: int
    placed_at: datetime
    confirmed_at: datetime | None
    lines: list[LineOut]


class CustomerOut(FromRow):
    id: int
    name: str
    balance: int


class CustomerWithOrders(CustomerOut):
    recent_orders: list[OrderOut]


class TransferIn(BaseModel):
    from_customer_id: Id
    to_customer_id: Id
    amount: Cents

    @model_validator(mode="after")
    def needs_two_customers(self) -> TransferIn:
        if self.from_customer_id == self.to_customer_id:
            raise ValueError("a transfer needs two different customers")
        return self


class Audit(BaseModel):
    """The books: `money` never changes, however many orders are placed, cancelled or fail half-way."""

    balances: int
    paid_orders: int
    money: int
    lowest_stock: int
