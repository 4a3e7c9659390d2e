"""One place in the pool, and the connection in it."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import math
import os
import random
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool.base import _ConnectionRecord

from poolkeeper.drivers import Evidence, evidence_of
from poolkeeper.model import CloseReason
from poolkeeper.pool.sockets import Poll, poll_of

if TYPE_CHECKING:
    from poolkeeper.pool.home import Home


class Host:
    """The server that some connections lead to, as far as their sockets tell."""

    __slots__ = ("records", "refused_writes_at")

    def __init__(self) -> None:
        self.records: set[KeeperRecord] = set()
        self.refused_writes_at = -math.inf

    def retire(self, reason: CloseReason) -> None:
        """Hand out none of the connections that are open now."""
        for record in self.records:
            record.retire(reason)

    def doubt(self, since: float = math.inf) -> None:
        """Hand out none of them before it has answered, but those heard from since then."""
        for record in self.records:
            if record.heard < since:
                record.heard = -math.inf


class KeeperRecord(_ConnectionRecord):
    """SQLAlchemy's record of a connection, with what the pool knows about it. Times are of the monotonic clock."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.pool, connect=False)
        self.home = home
        self.host = home.host_at(None)
        # Counted as open; a record outlives its connection.
        self.live = False
        self.raw: Any = None
        self.look_at_socket: Poll | None = None
        self.holder: asyncio.Task[Any] | None = None
        self.born = self.heard = self.taken = self.idle_since = 0.0
        # When the connect began; 0 once somebody who waited got the connection.
        self.began = 0.0
        # Replaced from `due` on, not handed out after `expires`. `usable_until` is `due`, or past if it was retired.
        self.due = self.expires = self.usable_until = math.inf
        # To be asked for a sign of life after so many seconds without one: when it is wanted, and when it is not.
        self.ping_after = self.keepalive = math.inf
        # Not to be handed out again.
        self.retired: CloseReason | None = None
        # Why it is being closed, and whether another is to take its place.
        self.reason: CloseReason | None = None
        self.reopen = False
        self._is_returning = False

    def get_connection(self) -> DBAPIConnection:
        # What is handed out has been looked at; an age or an invalidation never reconnects in a caller's time.
        connection = self.dbapi_connection
        if connection is not None:
            return connection
        self.began = time.monotonic()
        connection = super().get_connection()
        self._opened()
        return connection

    @property
    def needs_gc(self) -> bool:
        # Asked by SQLAlchemy's finalizer only: whether the holder was garbage-collected without a close().
        forgotten = super().needs_gc
        if forgotten:
            self.reason = CloseReason.LEAKED
        return forgotten

    @property
    def is_doubted(self) -> bool:
        """Whether it has to answer before it is handed out."""
        return self.heard == -math.inf

    def is_silent(self, now: float) -> bool:
        """Whether an idle one has to be asked, so that nobody on the way takes it for abandoned."""
        return self.keepalive < math.inf and self.heard <= now - self.keepalive

    def retire(self, reason: CloseReason) -> None:
        """Close it as soon as it is in nobody's hands."""
        self.retired = self.retired or reason
        self.usable_until = -math.inf

    def invalidate(self, e: BaseException | None = None, soft: bool = False) -> None:
        if soft:
            super().invalidate(e, soft=True)
            self.retire(CloseReason.INVALIDATED)
            return
        if self.reason is None and self.live:
            self.reason = self._reason_for(e)
        try:
            super().invalidate(e)
        except BaseException as error:
            if not isinstance(error, Exception) and not self._is_returning:
                self._leave_holder()
            raise
        finally:
            self.account()
            if self.live:
                # A listener failed before the connection was closed.
                self.retire(CloseReason.INVALIDATED)

    def _checkin_failed(self, err: BaseException, _fairy_was_created: bool = True) -> None:
        self._is_returning = True
        try:
            super()._checkin_failed(err, _fairy_was_created)
        finally:
            self._is_returning = False

    def _leave_holder(self) -> None:
        # SQLAlchemy, cancelled while it closes what could not be reset, does not come to the return of the record.
        self.account()
        fairy: Any = self.fairy_ref() if self.fairy_ref is not None else None
        if fairy is not None:
            fairy._finalizer.detach()
            fairy.dbapi_connection = fairy._connection_record = None
            self.checkin()

    def terminate(self) -> None:
        """Close for good, as SQLAlchemy does when it recycles: a cancellation cannot leave the connection open."""
        try:
            getattr(self, "_ConnectionRecord__close")(terminate=True)  # noqa: B009 - its name is mangled
        except Exception:
            self.home.pool.logger.exception("Exception in a listener for the close of %r", self.dbapi_connection)
            self._close_unheard()
        finally:
            self.account()

    def _close_unheard(self) -> None:
        connection, self.dbapi_connection = self.dbapi_connection, None
        if connection is not None:
            self.home.pool._close_connection(connection, terminate=True)

    def checkin(self, _fairy_was_created: bool = True) -> None:
        try:
            super().checkin(_fairy_was_created=_fairy_was_created)
        except BaseException:
            # A listener failed, and SQLAlchemy goes no further. The place is free all the same.
            if self.holder is not None:
                self.home.take_back(self)
            raise

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.account()

    def account(self) -> None:
        """Count the connection as closed, once, if it is gone."""
        if self.live and self.dbapi_connection is None:
            self.live = False
            self.raw = self.look_at_socket = None
            self.host.records.discard(self)
            self.home.note_closed(self, self.reason or CloseReason.DETACHED)

    def forget(self) -> None:
        """Let go of a connection that nobody can close any more."""
        self.dbapi_connection = None
        self.reason = CloseReason.ABANDONED
        self.account()

    def _opened(self) -> None:
        options, now = self.home.options, time.monotonic()
        if not self.reopen:
            # The one that takes another's place has been as useless for as long.
            self.idle_since = now
        self.live, self.retired, self.reason, self.reopen = True, None, None, False
        self.raw = self.driver_connection
        descriptor = self.home.driver.socket_of(self.raw)
        self.look_at_socket = poll_of(descriptor)
        self.host = self.home.host_at(_peer_of(descriptor))
        self.host.records.add(self)
        self.born = self.heard = self.taken = now
        self.due = self.expires = math.inf
        if options.recycle >= 0:
            self.expires = now + options.recycle
            # In the first half of the span: even if all are due at once, one by one they are replaced in time.
            self.due = self.expires - (1 + random.random()) / 2 * options.replaced_within  # noqa: S311 - no secret
        self.usable_until = self.due
        self._set_silence(self.home.driver.idle_cut_of(self.raw))
        self.home.note_opened()

    def _set_silence(self, idle_cut: float | None) -> None:
        """Ask before the server takes the silence for an end, which it would tell in the middle of a statement."""
        home, half = self.home, math.inf if idle_cut is None else idle_cut / 2
        self.keepalive = min(home.options.keepalive or math.inf, half)
        # Pings at a checkout may be turned off.
        self.ping_after = min(home.ping_after, half) if home.ping_after < math.inf else math.inf
        if self.keepalive < (home.options.keepalive or math.inf):
            home.upkeep.hurry()

    def _reason_for(self, error: BaseException | None) -> CloseReason:
        if error is None or not isinstance(error, Exception):
            return CloseReason.INVALIDATED
        if evidence_of(error) is not None:
            return CloseReason.SQLSTATE
        return CloseReason.SOCKET if self.home.driver.is_closed(self.raw) else CloseReason.RESET


def is_read_only(error: BaseException, record: KeeperRecord) -> bool:
    """Whether this error says that the server takes no writes any more, and not merely this transaction."""
    if evidence_of(error) is not Evidence.READ_ONLY:
        return False
    return record.home.driver.refuses_writes(record.raw) is not False


def _peer_of(descriptor: int | None) -> object:
    if descriptor is None:
        return None
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as ours:
        return ours.getpeername()
    return None
