"""Who has which connection: a register of an engine's checkouts, kept by SQLAlchemy's pool events."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from poolkeeper.drivers import Driver, driver_of
from poolkeeper.model import Holder, PoolCounts, shape_of
from poolkeeper.observe.awaiting import awaiting, innermost_site
from poolkeeper.observe.recorder import Recorder
from poolkeeper.observe.request import current_scope, phase_of, route_of
from poolkeeper.observe.sites import Site, current_site, described
from poolkeeper.observe.statements import Statements, Work
from poolkeeper.observe.stock_pools import StockCounts
from poolkeeper.pool import KeeperPool, KeeperRecord, Measured, Wait

Who = asyncio.Task[Any] | threading.Thread | None


_numbers = count(1)


class Checkout(Work):
    """One connection in somebody's hands since `started` (on the monotonic clock).

    What is cheap is kept, and put into words by `holder()`. `thread` is empty in a task.
    """

    # Given when somebody looks: most checkouts are never looked at.
    number = 0

    # No dataclass: this is made at every checkout.
    def __init__(
        self,
        engine: Dialog,
        who: Who,
        scope: Mapping[str, Any] | None,
        started: float,
        connection: Any,
        site: Site | None,
    ) -> None:
        self._engine = engine
        self.who = who
        self.scope = scope
        self.since = self.started = started
        self.connection = connection
        self.site = site

    @property
    def task(self) -> asyncio.Task[Any] | None:
        return self.who if isinstance(self.who, asyncio.Task) else None

    @property
    def thread(self) -> str:
        return self.who.name if isinstance(self.who, threading.Thread) else ""

    @property
    def driver_connection(self) -> Any:
        # An async adapter has it; a blocking driver's connection is it.
        return getattr(self.connection, "driver_connection", self.connection)

    @property
    def is_finished(self) -> bool:
        """Whether whoever took the connection is gone."""
        who = self.who
        return who.done() if isinstance(who, asyncio.Task) else who is not None and not who.is_alive()

    def brief(self, now: float) -> Holder:
        """What is said of it in a line: pools tell this to each caller they refuse."""
        site = described(self.site) if self.site else None
        return Holder(task=self._name(), route=route_of(self.scope), seconds=now - self.started, site=site)

    def holder(self, now: float) -> Holder:
        """All that is known, in words; `now` is on the monotonic clock."""
        statement, raw = self.statement, self.driver_connection
        self.number = self.number or next(_numbers)
        return replace(
            self.brief(now),
            statement=None if statement is None else self._engine.shape(statement),
            statements=self.statements,
            in_sql=self.running > 0,
            state_seconds=now - self.since,
            in_transaction=self._engine.in_transaction(raw),
            streams=self.streams,
            backend=self._engine.backend(raw),
            phase=phase_of(self.scope),
            finished=self.is_finished,
            awaiting=awaiting(self.who),
            id=self.number,
        )

    def _name(self) -> str:
        return self.who.get_name() if isinstance(self.who, asyncio.Task) else self.thread


class Dialog:
    """What an engine's dialect and driver tell of a connection."""

    def __init__(self, engine: Engine) -> None:
        self._driver: Driver = driver_of(engine.dialect)
        self._quotes_strings_twice = engine.dialect.name in {"mysql", "mariadb"}

    def shape(self, statement: str) -> str:
        return shape_of(statement, strings_in_double_quotes=self._quotes_strings_twice)

    # What a closed connection is asked raises what it likes.
    def in_transaction(self, driver_connection: Any) -> bool | None:
        with suppress(Exception):
            return self._driver.transaction_is_open(driver_connection)
        return None

    def backend(self, driver_connection: Any) -> int | None:
        with suppress(Exception):
            return self._driver.backend_of(driver_connection)
        return None


class Checkouts:
    """The register. Entries are added and removed by the pool itself, so it cannot disagree with the pool.

    `recorder` hears how each hold was spent, and of the pool whatever the pool itself does not tell it.
    """

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        self._engine, self._recorder = engine, recorder
        self._dialog = Dialog(engine)
        self._open: dict[ConnectionPoolEntry, Checkout] = {}
        self._statements = Statements(engine)
        self._of_connection = self._statements.work
        self._unwanted: set[ConnectionPoolEntry] = set()
        self._stock: StockCounts | None = None
        if isinstance(engine.pool, KeeperPool):
            self._plain_description = engine.pool.describe_holder
            engine.pool.describe_holder = self._describe
            engine.pool.keep(self)
            self.asked, self.notice = recorder.asked, recorder.notice
        else:
            self._stock = StockCounts(engine, recorder)
            event.listen(engine, "checkout", self._checked_out)
            event.listen(engine, "checkin", self._checked_in)
            event.listen(engine, "detach", self._ended)
            event.listen(engine, "close", self._closed)

    def open(self) -> tuple[Checkout, ...]:
        """The checkouts of this moment, the longest held first."""
        return tuple(sorted(self._open.values(), key=lambda checkout: checkout.started))

    def holders(self, now: float) -> tuple[Holder, ...]:
        """Who has a connection at this moment, the longest first."""
        waiting = {wait.who for wait in self.waits()}
        return tuple(_holder(checkout, now, waiting) for checkout in self.open())

    def nested(self, now: float) -> tuple[Holder, ...]:
        """The holders that wait for another connection of the same pool: nobody may ever give it to them."""
        waiting = {wait.who for wait in self.waits()}
        return tuple(_holder(checkout, now, waiting) for checkout in self.open() if checkout.who in waiting)

    def nesting(self) -> Holder | None:
        """The running task or thread as a holder that asks for another; None if it has no connection of this pool."""
        who = _current_task() or threading.current_thread()
        for checkout in list(self._open.values()):
            if checkout.who is who:
                return replace(checkout.holder(time.monotonic()), waits_at=self.asking_at())
        return None

    def asking_at(self) -> str | None:
        """The line of the service that asks for a connection now; None if it is not known."""
        site = current_site()
        return described(site) if site is not None else None

    def waits(self) -> list[Wait]:
        """Who waits for a connection, as far as the pool tells."""
        pool = self._engine.pool
        return pool.waits() if isinstance(pool, KeeperPool | Measured) else []

    def counts(self) -> PoolCounts:
        """The pool's numbers at this moment."""
        pool = self._engine.pool
        if isinstance(pool, KeeperPool):
            return pool.counts()
        return self._stock.counts(len(self._open)) if self._stock else PoolCounts(None, 0, 0, 0, 0, 0)

    @property
    def unknown(self) -> frozenset[str]:
        """The fields of a snapshot that this pool cannot tell."""
        return self._stock.unknown if self._stock is not None else frozenset()

    def discard_on_return(self) -> None:
        """Close the connections that are out now when they come back, instead of keeping them.

        `Engine.dispose()` of a stock pool forgets them: they return to a pool that nobody uses or closes any more.
        """
        if self._stock is not None:
            self._unwanted.update(self._open)

    def _describe(self, record: Any) -> str:
        checkout = self._open.get(record)
        return str(checkout.brief(time.monotonic())) if checkout is not None else self._plain_description(record)

    # What a KeeperPool tells: see poolkeeper.pool.Register

    def taken(self, record: KeeperRecord, waited: float) -> None:
        # The pool has looked at the clock and the task already.
        connection = record.dbapi_connection
        self._open[record] = self._of_connection[connection] = Checkout(
            self._dialog, record.holder, current_scope.get(), record.taken, connection, current_site()
        )
        if waited:
            self._recorder.served(waited, _queued(record, waited))
        else:
            self._recorder.at_once += 1
            if self._recorder.times is not None:
                self._recorder.times.took("waits", 0.0)

    def returned(self, record: ConnectionPoolEntry, held: float) -> None:
        checkout = self._open.pop(record, None)
        if checkout is not None:
            self._of_connection.pop(checkout.connection, None)
            self._recorder.returned(held, checkout.in_sql)

    # What other pools tell, by their events

    def _checked_out(self, dbapi: Any, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        who = _current_task() or threading.current_thread()
        self._open[record] = self._of_connection[dbapi] = Checkout(
            self._dialog, who, current_scope.get(), time.monotonic(), dbapi, current_site()
        )
        if not isinstance(self._engine.pool, Measured):
            self._recorder.served_unasked()

    def _checked_in(self, dbapi: object, record: ConnectionPoolEntry) -> None:
        self._ended(dbapi, record)
        if self._unwanted and record in self._unwanted:
            self._unwanted.discard(record)
            record.invalidate()

    def _ended(self, _dbapi: object, record: ConnectionPoolEntry) -> None:
        checkout = self._open.get(record)
        if checkout is not None:
            self.returned(record, time.monotonic() - checkout.started)

    def _closed(self, dbapi: object, _record: object) -> None:
        # One whose checkout a listener refused never comes home.
        self._of_connection.pop(dbapi, None)


def _holder(checkout: Checkout, now: float, waiting: set[Who]) -> Holder:
    holder = checkout.holder(now)
    return replace(holder, waits_at=innermost_site(checkout.who)) if checkout.who in waiting else holder


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _queued(record: KeeperRecord, waited: float) -> float:
    """What of a wait was over before the connect began that ended it; all of it where a connection came back."""
    since, began = record.taken - waited, record.began
    record.began = 0.0
    # A connection that was there before is nobody's own.
    return waited if began == 0.0 or record.born < since else min(waited, max(0.0, began - since))
