"""The reference service on the stack that DRILL_STACK names: `uvicorn poolkeeper.drill.stacks.app:app`."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, get_args

from sqlalchemy import event

from poolkeeper.drill.stacks import APPLICATION_NAME, LESSONS, STACK, STACKS, resolver
from poolkeeper.drill.stacks.routes import routes


def _name_connections(engine: Any, name: str) -> None:
    """As asyncpg is told it. poolkeeper has a setting for that."""

    @event.listens_for(engine, "do_connect")
    def add(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:  # pyright: ignore[reportUnusedFunction]
        options["server_settings"] = {**options.get("server_settings", {}), "application_name": name}


resolver.install(os.environ)
_stack = {**STACKS, **LESSONS}[os.environ[STACK]]
if _stack.name != "poolkeeper":
    # Before anything of the service is imported: all of it then meets the stack's module under the name of its own.
    sys.modules["orders.database"] = import_module(f"poolkeeper.drill.stacks.{_stack.code}")

_database: Any = import_module("orders.database")
if APPLICATION_NAME in os.environ and _stack.name != "poolkeeper":
    _name_connections(_database.db.engine.sync_engine, os.environ[APPLICATION_NAME])
app: Any = import_module("orders.main").app
app.include_router(
    routes(_database.db, write=get_args(_database.WriteDB)[1], read=get_args(_database.ReadDB)[1]),
    include_in_schema=False,
)
