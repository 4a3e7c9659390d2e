"""Writers and readers on a database whose primary changes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import TextClause, exc

from poolkeeper import Database

WRITERS, READERS, POOL = 8, 4, 5
PAUSE = 0.01
# How long writes may fail after a change before the test is given up.
PATIENCE = 20


@dataclass
class Traffic:
    """What became of each request: the port of who answered, or the error. Times are seconds on the monotonic clock.

    `insert` writes, `host` asks for the port.
    """

    database: Database
    insert: TextClause
    host: TextClause
    written: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    read: Counter[int] = field(default_factory=Counter[int])
    failed_writes: list[tuple[float, Exception]] = field(default_factory=list[tuple[float, Exception]])
    failed_reads: list[Exception] = field(default_factory=list[Exception])
    ended: bool = False

    async def run(self, during: Callable[[], object]) -> None:
        """Traffic while `during` runs in a thread, and until a second after the first write on another host."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._writer())
            for _ in range(READERS):
                group.create_task(self._reader())
            await asyncio.sleep(0.5)
            await asyncio.to_thread(during)
            began = time.monotonic()
            while len({port for _, port in self.written}) < 2 and time.monotonic() - began < PATIENCE:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            self.ended = True

    def first_on(self, port: int) -> float:
        """When the first write was committed there."""
        return min(at for at, where in self.written if where == port)

    def tell(self, promoted: int, at: float) -> None:
        """Print the figures; `at` is when the host on that port was promoted."""
        kinds = Counter(f"{type(error).__name__}: {str(error)[:90]}" for _, error in self.failed_writes)
        print(
            f"{len(self.written)} writes, {len(self.failed_writes)} failed {dict(kinds)}; "
            f"{self.read.total()} reads, {len(self.failed_reads)} failed; first write on the new primary "
            f"{self.first_on(promoted) - at:+.2f} s after the promotion"
        )

    async def _writer(self) -> None:
        while not self.ended:
            try:
                async with self.database.session() as session:
                    await session.execute(self.insert)
                    port = int(await session.scalar(self.host))
            except exc.SQLAlchemyError as error:
                self.failed_writes.append((time.monotonic(), error))
            else:
                self.written.append((time.monotonic(), port))
            await asyncio.sleep(PAUSE)

    async def _reader(self) -> None:
        while not self.ended:
            try:
                async with self.database.read_session() as session:
                    self.read[int(await session.scalar(self.host))] += 1
            except exc.SQLAlchemyError as error:
                self.failed_reads.append(error)
            await asyncio.sleep(PAUSE)
