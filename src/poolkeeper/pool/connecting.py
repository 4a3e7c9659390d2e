"""The background I/O of a pool: connect, ping, close. Each is bounded in time, and none belongs to a caller."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import random
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import exc
from sqlalchemy.util import greenlet_spawn

from poolkeeper.model import CloseReason, PoolEventKind
from poolkeeper.pool import problems
from poolkeeper.pool.record import KeeperRecord

if TYPE_CHECKING:
    from poolkeeper.pool.home import Home

# A server that does not take a goodbye in this time is left without one.
_CLOSE_LIMIT = 2.0
# A driver whose connection was cut off has told whoever waits for it after this.
_MOMENT = 0.1
# A connect that was cancelled from outside (by a loop that ends) is tried again this much later, if ever.
_BREATHER = 0.01
_DEAD = (CloseReason.SOCKET, CloseReason.PING)

T = TypeVar("T")


class Connecting:
    """Opens connections for a `Home`: one attempt at a time, with pauses, while the database is away."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._vacant: list[KeeperRecord] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._pause: asyncio.Handle | None = None

    def vacant(self, record: KeeperRecord) -> None:
        """A record without a connection: the next one goes there, as `record_info` promises."""
        self._vacant.append(record)

    def begin(self) -> None:
        """Open a connection; the queue hears how it ends."""
        record = self._vacant.pop() if self._vacant else KeeperRecord(self._home)
        task = self._home.spawn(self._open(record), "connect")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def give_up(self) -> None:
        """Nobody wants what is being opened."""
        self._end_pause()
        for task in self._under_way:
            task.cancel()

    async def _open(self, record: KeeperRecord) -> None:
        home, began = self._home, time.monotonic()
        home.note(PoolEventKind.CONNECTING, 0.0, record)
        try:
            async with asyncio.timeout(home.options.connect_limit):
                await greenlet_spawn(record.get_connection)
                while record.began < home.renewed:
                    record.reason = CloseReason.INVALIDATED
                    await self.close(record)
                    await greenlet_spawn(record.get_connection)
        except BaseException as error:
            self.vacant(record)
            problems.without_frames(error)
            self._failed(error, time.monotonic() - began, record)
            if not isinstance(error, Exception):
                raise
        else:
            home.note(PoolEventKind.CONNECTED, time.monotonic() - began, record)
            self.succeeded()
            home.queue.connected(record)
        finally:
            home.connect_ended.set()

    def succeeded(self) -> None:
        self._home.outage.ended()
        self._end_pause()
        self._home.queue.connects_at_once = self._home.queue.limits.connects_at_once

    def _failed(self, error: BaseException, seconds: float, record: KeeperRecord) -> None:
        home, now = self._home, time.monotonic()
        home.note(PoolEventKind.CONNECT_FAILED, seconds, record, error=error)
        home.queue.connects_at_once = 1
        if isinstance(error, Exception):
            curable = problems.is_curable(error)
            delay = home.outage.failed(error, now, seconds, random.random(), curable=curable)  # noqa: S311 - no secret
            if not curable and (head := home.queue.head()) is not None:
                home.line.send_away(head, problems.the_error_itself(error))
            if home.outage.is_lasting(now) and not home.has_connections:
                home.line.send_all_away(problems.unreachable(home))
        else:
            delay = _BREATHER
        if delay:
            self._pause_for(delay)
        home.queue.connect_failed()

    def _pause_for(self, seconds: float) -> None:
        self._home.queue.connects_at_once = 0
        if self._pause is None:
            ours: weakref.ref[Connecting] = weakref.ref(self)
            self._pause = self._home.loop.call_later(seconds, _go_on, ours)

    def go_on(self) -> None:
        """The pause is over: one attempt."""
        self._pause = None
        self._home.queue.connects_at_once = 1
        self._home.queue.settle()

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    async def ping(self, record: KeeperRecord) -> bool:
        """Whether the server answers within `ping_timeout`. A connection that does not is of no use any more."""
        home, pool, began = self._home, self._home.pool, time.monotonic()
        pool.logger.debug("Pool pre-ping on connection %s", record.dbapi_connection)
        ask, connection = pool.dialect._do_ping_w_event, record.dbapi_connection
        try:
            alive = await self._within(home.options.ping_timeout, record, ask, connection)
        except Exception:
            # Whatever it was, there was no answer.
            alive = False
        if not alive:
            pool.logger.debug("Pool pre-ping on connection %s failed", record.dbapi_connection)
            self._doubt_others(record, began)
        return alive

    def _doubt_others(self, record: KeeperRecord, began: float) -> None:
        """What silenced one connection may have silenced the others."""
        record.host.doubt(began)
        if time.monotonic() - began >= self._home.options.ping_timeout:
            # To ask one after the other would cost the caller who waits a ping's time for each.
            self._home.close_silent(record.host)

    async def close(self, record: KeeperRecord) -> None:
        """Close a connection that is in nobody's hands."""
        home = self._home
        if why := _why(record):
            home.pool.logger.info("Connection %r %s; recycling", record.dbapi_connection, why)
        # One that could not be cut off is forgotten.
        with suppress(TimeoutError):
            if record.reason in _DEAD:
                home.driver.abort(record.raw)
                found_dead = exc.DisconnectionError(f"found dead: {record.reason}")
                await self._within(_CLOSE_LIMIT, record, record.invalidate, found_dead)
            else:
                await self._within(_CLOSE_LIMIT, record, record.terminate)

    async def _within(self, seconds: float, record: KeeperRecord, work: Callable[..., T], *args: Any) -> T:
        """Do it, and cut the connection off after `seconds`. TimeoutError where even that does not end it."""
        home, raw = self._home, record.raw
        async with asyncio.timeout(None) as patience:

            def cut_off() -> None:
                home.driver.abort(raw)
                # Of the drivers that are not known here, some have nothing that cuts a connection off.
                patience.reschedule(home.loop.time() + _MOMENT)

            timer = home.loop.call_later(seconds, cut_off)
            try:
                return await greenlet_spawn(work, *args)
            finally:
                timer.cancel()


def _why(record: KeeperRecord) -> str | None:
    """In the words of the stock pool, for those who read its log."""
    if record.reason is CloseReason.LIFETIME:
        return "exceeded timeout"
    if record.reason is CloseReason.INVALIDATED and record._soft_invalidate_time > record.starttime:
        return "invalidated due to local soft invalidation"
    if record.reason in (CloseReason.INVALIDATED, CloseReason.SQLSTATE):
        return "invalidated due to pool invalidation"
    return None


def _go_on(connecting: weakref.ref[Connecting]) -> None:
    if (ours := connecting()) is not None:
        ours.go_on()
