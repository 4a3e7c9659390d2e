"""An app that knows nothing of poolkeeper: SQLAlchemy as a tutorial shows it."""

import os
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["SHOP_DB"])
sessions = async_sessionmaker(engine)


@asynccontextmanager
async def lifespan(_app):
    yield
    await engine.dispose()


async def get_db():
    async with sessions() as session:
        yield session


app = FastAPI(lifespan=lifespan)


@app.get("/products")
async def products(session: Annotated[AsyncSession, Depends(get_db)]) -> int | None:
    return await session.scalar(text("SELECT count(*) FROM products"))
