"""Create the tables and the first rows at start-up, also when several workers start at once.

A service with data to keep uses migrations (Alembic) in a step before the deployment instead.
"""

from __future__ import annotations

from zlib import crc32

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.database import db
from orders.models import PREFIX, Base, Customer, Product

CUSTOMERS = 100
PRODUCTS = 50
OPENING_BALANCE = 100_000_000
OPENING_STOCK = 10_000

# One worker prepares the database while the others wait for their turn, each database in its own words. The lock of
# MySQL belongs to the connection, the others end with the transaction.
TURN = f"{PREFIX}orders"
TAKE_TURN = {
    "postgresql": f"SELECT pg_advisory_xact_lock({crc32(TURN.encode())})",
    "mysql": f"SELECT GET_LOCK('{TURN}', 60)",
    "sqlite": "BEGIN IMMEDIATE",
}
END_TURN = {"mysql": f"SELECT RELEASE_LOCK('{TURN}')"}


async def prepare_database() -> None:
    async with db.engine.connect() as connection:
        kind = "mysql" if connection.dialect.name == "mariadb" else connection.dialect.name
        await connection.exec_driver_sql(TAKE_TURN[kind])
        try:
            await connection.run_sync(Base.metadata.create_all)
            await add_first_rows(connection)
            await connection.commit()
        finally:
            if kind in END_TURN:
                await connection.exec_driver_sql(END_TURN[kind])


async def add_first_rows(connection: AsyncConnection) -> None:
    if await connection.scalar(select(func.count()).select_from(Customer)):
        return
    customers = [
        {"name": f"Customer {number}", "email": f"customer{number}@example.org", "balance": OPENING_BALANCE}
        for number in range(1, CUSTOMERS + 1)
    ]
    products = [
        {"name": f"Product {number}", "price": 199 + 100 * number, "stock": OPENING_STOCK}
        for number in range(1, PRODUCTS + 1)
    ]
    await connection.execute(insert(Customer), customers)
    await connection.execute(insert(Product), products)
