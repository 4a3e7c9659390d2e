"""The reference service on the stack that DRILL_STACK names: `uvicorn poolkeeper.drill.stacks.app:app`."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, get_args

from poolkeeper.drill.stacks import STACK, STACKS
from poolkeeper.drill.stacks.routes import routes

_stack = STACKS[os.environ[STACK]]
if _stack.name != "poolkeeper":
    # Before anything of the service is imported: all of it then meets the stack's module under the name of its own.
    sys.modules["orders.database"] = import_module(f"poolkeeper.drill.stacks.{_stack.name}")

_database: Any = import_module("orders.database")
app: Any = import_module("orders.main").app
app.include_router(
    routes(_database.db, write=get_args(_database.WriteDB)[1], read=get_args(_database.ReadDB)[1]),
    include_in_schema=False,
)
