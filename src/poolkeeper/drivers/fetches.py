"""A server-side cursor asks the server for rows again and again: each of these round trips has a deadline too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


class WatchedCursor:
    """A DBAPI cursor whose fetches and close run inside `under_way()`; everything else is the cursor's own."""

    __slots__ = ("_cursor", "_under_way")

    def __init__(self, cursor: Any, under_way: Callable[[], AbstractContextManager[None]]) -> None:
        self._cursor = cursor
        self._under_way = under_way

    def fetchone(self) -> Any:
        with self._under_way():
            return self._cursor.fetchone()

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        with self._under_way():
            return self._cursor.fetchmany(*args, **kwargs)

    def fetchall(self) -> Any:
        with self._under_way():
            return self._cursor.fetchall()

    def close(self) -> None:
        with self._under_way():
            self._cursor.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
