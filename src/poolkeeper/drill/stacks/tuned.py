"""The best that the stock pool can be set to, as far as we know.

A short wait for a connection answers nearly as much as the pool can serve where half a minute answers nobody in time;
the session ends before the response starts; the driver gives a silent server up; a full pool is a 503.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from starlette.requests import Request
from starlette.responses import JSONResponse

from poolkeeper.drill.stacks.stock import StockDatabase, StockKeeper, connect_args, setting, url

# Seconds. Of 30, 2 and 1 it was 1 that kept a pool of 10 at its capacity under three times its load.
_POOL_TIMEOUT = 1
_CONNECT_TIMEOUT = 5


class _TunedKeeper(StockKeeper):
    def install(self, app: FastAPI) -> None:
        super().install(app)
        app.add_exception_handler(exc.TimeoutError, _full)


async def _full(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "too busy"}, status_code=503, headers={"Retry-After": "1"})


db = StockDatabase(
    create_async_engine(
        url(),
        pool_size=20,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT,
        pool_recycle=int(setting("pool_recycle")),
        pool_pre_ping=True,
        connect_args=connect_args(timeout=_CONNECT_TIMEOUT, command_timeout=setting("patience")),
    )
)
keeper = _TunedKeeper(db, scope="function")

WriteDB = ReadDB = Annotated[AsyncSession, keeper.get_db]
