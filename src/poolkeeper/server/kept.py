"""A connection past the pool that is kept, for questions that are asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from poolkeeper.server.bounded import Blocking, Bounded, CutOff
from poolkeeper.server.sampler import Unpooled, connected

T = TypeVar("T")


class KeptConnection:
    """One connection in autocommit, opened at the first question and again after an error.

    `unpooled` makes an engine without a pool, and is called once. One question at a time.
    """

    def __init__(self, unpooled: Callable[[], Unpooled], timeout: float) -> None:
        self._make = unpooled
        self._timeout = timeout
        self._link: _InTask | _InThread | None = None

    async def ask(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, within `timeout` seconds, connecting included.

        Raises what the driver raises, and `TimeoutError`; the connection is closed then, and after a cancellation.
        """
        if self._link is None:
            engine, commands = self._make()
            self._link = (
                _InTask(engine, partial(commands.cut_off, seconds=self._timeout))
                if isinstance(engine, AsyncEngine)
                else _InThread(engine, commands.abort)
            )
        return await self._within(self._link.work(work), self._link.cut_off)

    async def close(self) -> None:
        """Close the connection, if it is open; a later question opens another."""
        if self._link is not None and self._link.is_open:
            await self._within(self._link.close(), self._link.cut_off)

    async def _within(self, work: Coroutine[Any, Any, T], cut_off: CutOff) -> T:
        bounded = Bounded(work, self._timeout, cut_off)
        try:
            await asyncio.wait({bounded.task})
        finally:
            bounded.end()
        error = bounded.error()
        if isinstance(error, TimeoutError) and not str(error):
            raise TimeoutError(f"no answer within {self._timeout:g} s")
        if error is not None:
            raise error
        return bounded.task.result()


class _InTask:
    def __init__(self, engine: AsyncEngine, cut_off: CutOff) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None
        self.cut_off = cut_off

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def work(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = await self._engine.connect()
                await self._connection.execution_options(isolation_level="AUTOCOMMIT")
            return await self._connection.run_sync(_at_rest(work))
        except BaseException:
            await self._discard()
            raise

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _discard(self) -> None:
        # It may be cut off: nothing is sent over it any more, not even a rollback.
        if self._connection is not None and not self._connection.invalidated:
            await self._connection.invalidate()
        await self.close()


class _InThread:
    def __init__(self, engine: Engine, abort: Callable[[Any], object]) -> None:
        # Before SQLAlchemy's own listener, which asks a first connection who the server is.
        event.listen(engine, "connect", connected, insert=True)
        self._engine = engine
        self._abort = abort
        self._thread = Blocking(abort)
        self._connection: Connection | None = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def cut_off(self, task: asyncio.Task[Any]) -> bool:
        return self._thread.cut_off(task)

    async def work(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._thread.run(lambda: self._in_thread(work))
        except BaseException:
            # What goes on in an abandoned thread has its own connection; nobody asks over it again.
            self._connection, self._thread = None, Blocking(self._abort)
            raise

    def _in_thread(self, work: Callable[[Connection], T]) -> T:
        connection = self._connection
        try:
            if connection is None:
                connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._connection = connection
            return _at_rest(work)(connection)
        except BaseException:
            if connection is not None:
                connection.invalidate()
                connection.close()
            raise

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._thread.run(connection.close)


def _at_rest(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """Do the work and leave no transaction open, not even one that exists for SQLAlchemy only."""

    def ended(connection: Connection) -> T:
        try:
            return work(connection)
        finally:
            if not connection.invalidated and connection.in_transaction():
                connection.rollback()

    return ended
