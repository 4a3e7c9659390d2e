"""The application: `uvicorn --app-dir examples/orders orders.main:app`, with the database in DATABASE_URL."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from orders import faults
from orders.database import keeper
from orders.routers import customers, orders, pages, products
from orders.seed import prepare_database


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    # With migrations that run before the service, a database that is away for a moment is no reason not to start.
    if os.environ.get("ORDERS_CREATE_TABLES", "yes") != "no":
        await prepare_database()
    yield


app = FastAPI(title="Orders", description="The reference service of poolkeeper.", lifespan=lifespan)
faults.install(app, faults.chosen(os.environ))
app.include_router(pages.router)
app.include_router(products.router)
app.include_router(customers.router)
app.include_router(orders.router)
keeper.install(app)
