"""Four configurations of the same reference service, to be looked at side by side.

Only the module `orders.database` differs, see `app.py`. The three stock ones are SQLAlchemy as it comes; poolkeeper is
the service as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

STACK = "DRILL_STACK"
# What the connections of a stock stack are called, where they have to be told from those of others.
APPLICATION_NAME = "DRILL_APPLICATION_NAME"
# The mode of the pooler that stands between, where one does.
POOL_MODE = "DRILL_POOL_MODE"
# How long callers wait is known to whoever runs the service; the server's and the driver's limits follow from it.
_COMMAND_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Stack:
    """One configuration. `connections` is the most that its pool may open, `settings` are its own.

    The code of a stock one is in the module of its name, unless it says which.
    """

    name: str
    summary: str
    connections: int
    settings: Mapping[str, float]
    module: str = ""

    @property
    def code(self) -> str:
        return self.module or self.name

    def environment(self, patience: float, settings: Mapping[str, float]) -> dict[str, str]:
        """What its service is told: how long (seconds) callers wait, and settings of a scenario, which win."""
        if self.name != "poolkeeper":
            given = {"patience": patience, **self.settings, **settings}
            return {STACK: self.name, **{f"DRILL_{name.upper()}": f"{value:g}" for name, value in given.items()}}
        timeouts = {
            "client_timeout": patience,
            "statement_timeout": patience,
            "command_timeout": patience + _COMMAND_AFTER,
        }
        given = {**timeouts, **self.settings, **settings}
        return {STACK: self.name, **{f"DATABASE_{name.upper()}": f"{value:g}" for name, value in given.items()}}


_STACKS = (
    Stack("naive", "create_async_engine(url), get_db with `yield session; await session.commit()`", 15, {}),
    Stack(
        "guide",
        "pool_size 20, max_overflow 0, pool_pre_ping, pool_recycle 3600, pool_timeout 30, and the same get_db",
        20,
        {"pool_recycle": 3600},
    ),
    Stack(
        "tuned",
        "the guide's, with pool_timeout 1, a command timeout, the session in function scope, and 503 for a full pool",
        20,
        {"pool_recycle": 3600},
    ),
    Stack("poolkeeper", "the reference service as it is, told how long callers wait", 20, {"drain_timeout": 2}),
)

_PING = {"pool_pre_ping": 1}
# Seconds: below the calm of the scenario, as an age has to be below what server or network allow.
_AGED = _PING | {"pool_recycle": 1.3}
_BOUNDS = {"pool_size": 20, "max_overflow": 0}
_LESSONS = (
    Stack("lesson-2-ping", "the naive one with pool_pre_ping", 15, _PING, "step"),
    Stack("lesson-3-recycle", "and pool_recycle 1.3", 15, _AGED, "step"),
    Stack("lesson-4-bounds", "and pool_size 20, max_overflow 0", 20, _AGED | _BOUNDS, "step"),
    Stack("lesson-5-null", "NullPool, as for serverless", 15, {"pool_null": 1}, "step"),
    Stack("bounds-first", "the wrong order: pool_size 20, max_overflow 0, and no ping", 20, _BOUNDS, "step"),
    Stack("hour-first", "the wrong order: pool_recycle 3600, and no ping", 15, {"pool_recycle": 3600}, "step"),
)

LESSONS: Mapping[str, Stack] = MappingProxyType({stack.name: stack for stack in _LESSONS})
STACKS: Mapping[str, Stack] = MappingProxyType({stack.name: stack for stack in _STACKS})
