"""What `poolkeeper demo` shows each second: a table on a terminal, a line anywhere else."""

from __future__ import annotations

import os
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from poolkeeper.drill import PoolTotals

_ROWS = 10
_COLUMNS = "time", "requests/s", "p50 ms", "p99 ms", "in use", "idle", "waiting", "capacity", "errors"


@dataclass(frozen=True, slots=True)
class Status:
    """A moment of the run; the latencies are of its last seconds, `errors` of all of it."""

    elapsed: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    pool: PoolTotals | None
    errors: int

    def __str__(self) -> str:
        pool = self.pool or "pool unknown"
        return (
            f"{self.elapsed:5.0f} s  {self.requests_per_second:7.1f} requests/s  p50 {self.p50_ms:7.1f} ms  "
            f"p99 {self.p99_ms:7.1f} ms  {pool}  {self.errors} errors"
        )

    def cells(self) -> list[str]:
        """The same under `_COLUMNS`."""
        pool = self.pool
        numbers = [pool.in_use, pool.idle, pool.waiting, pool.capacity] if pool else [None] * 4
        latencies = [f"{self.requests_per_second:.1f}", f"{self.p50_ms:.1f}", f"{self.p99_ms:.1f}"]
        pool_cells = ["-" if number is None else str(number) for number in numbers]
        return [f"{self.elapsed:.0f} s", *latencies, *pool_cells, str(self.errors)]


class Screen(AbstractContextManager["Screen"]):
    """Shows a status as one line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def show(self, status: Status) -> None:
        self._console.print(str(status), markup=False, highlight=False, soft_wrap=True)


class LiveScreen(Screen):
    """Shows the last seconds as a table that stays in place."""

    def __init__(self, console: Console, seconds: float | None) -> None:
        super().__init__(console)
        self._caption = "Ctrl-C ends it" if seconds is None else f"ends after {seconds:g} s, or with Ctrl-C"
        self._latest: deque[Status] = deque(maxlen=_ROWS)
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, status: Status) -> None:
        self._latest.append(status)
        table = Table(caption=self._caption)
        for column in _COLUMNS:
            table.add_column(column, justify="right")
        for latest in self._latest:
            table.add_row(*latest.cells(), style="red" if latest.errors else None)
        self._live.update(table, refresh=True)


def screen_for(seconds: float | None) -> Screen:
    """The table on a terminal, unless NO_COLOR asks for plain text."""
    console = Console()
    return LiveScreen(console, seconds) if console.is_terminal and "NO_COLOR" not in os.environ else Screen(console)
