"""Everything that a pool tells its listeners, in a form in which two pools can be compared."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.events import PoolEvents
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, PoolResetState

EVENTS = sorted(name for name in vars(PoolEvents) if not name.startswith("_") and name != "dispatch")


class Recorder:
    """Listens to all pool events of an engine. Connections and records are numbered as they appear."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.lines: list[str] = []
        self._seen: dict[str, list[Any]] = {"connection": [], "record": []}
        for name in EVENTS:
            event.listen(engine.sync_engine, name, self._listener(name))

    @property
    def names(self) -> list[str]:
        """Only which events there were."""
        return [line.partition("(")[0] for line in self.lines]

    def _listener(self, name: str) -> Any:
        # As many arguments as documented: some events are called otherwise for fewer.
        def three(first: Any, second: Any, third: Any) -> None:
            self._note(name, first, second, third)

        def two(first: Any, second: Any) -> None:
            self._note(name, first, second)

        def one(first: Any) -> None:
            self._note(name, first)

        if name in {"checkout", "reset", "invalidate", "soft_invalidate"}:
            return three
        return one if name == "close_detached" else two

    def _note(self, name: str, *arguments: Any) -> None:
        self.lines.append(f"{name}({', '.join(self._describe(argument) for argument in arguments)})")

    def _describe(self, argument: Any) -> str:
        if argument is None or isinstance(argument, PoolResetState):
            return repr(argument)
        if isinstance(argument, BaseException):
            return type(argument).__name__
        if isinstance(argument, ConnectionPoolEntry):
            return self._number("record", argument)
        if isinstance(argument, PoolProxiedConnection):
            # Not kept: what its holder forgets is to be collected.
            return "proxy"
        return self._number("connection", argument)

    def _number(self, kind: str, argument: Any) -> str:
        # Kept, so that no other gets the same address.
        seen = self._seen[kind]
        if not any(argument is known for known in seen):
            seen.append(argument)
        number = next(index for index, known in enumerate(seen, 1) if known is argument)
        return f"{kind} {number}: {type(argument).__name__}" if kind == "connection" else f"{kind} {number}"


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        """Level and text; what differs from run to run is replaced."""
        return [f"{record.levelname} {without_addresses(record.getMessage())}" for record in self.records]


def without_addresses(text: str) -> str:
    """The text without memory addresses and ports."""
    return re.sub(r"0x[0-9a-f]+|port=\d+|test_\d+_\d+|\d{10,}", "#", text)


@contextmanager
def pool_log(level: int) -> Iterator[_Lines]:
    """What reaches the documented logger, `sqlalchemy.pool`."""
    logger, handler = logging.getLogger("sqlalchemy.pool"), _Lines()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
