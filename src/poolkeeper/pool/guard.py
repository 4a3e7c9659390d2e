"""The part of KeeperPool that needs no event loop, for the stock QueuePool of an engine that blocks."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import math
import os
import random
import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, PoolResetState, QueuePool

from poolkeeper.drivers import Evidence, driver_of, evidence_of
from poolkeeper.model import CloseReason
from poolkeeper.policy import Verdict
from poolkeeper.pool.evidence import note_disconnect, refuses_by_nature
from poolkeeper.pool.sockets import Poll, look_at, poll_of

_KEY = "poolkeeper.guard"
_guarded: weakref.WeakKeyDictionary[Engine, Guard] = weakref.WeakKeyDictionary()


@dataclass(slots=True, eq=False)
class _Watched:
    """What is known of one connection. Times are of the monotonic clock."""

    raw: Any
    look_at_socket: Poll | None
    pid: int
    born: float
    due: float
    heard: float
    ping_after: float
    taken: float | None = None
    resetting: bool = False
    reason: CloseReason | None = None


def guard(engine: Engine, *, ping_after: float = 2.0, ping_timeout: float = 2.0, recycle_jitter: float = 0.2) -> Guard:
    """Look after the connections of a plain `Engine`; call it once, right after `create_engine`. Times are seconds.

    At each checkout the driver's flag and the socket are looked at, without a round trip, so `pool_pre_ping` is not
    needed. A connection that was silent for `ping_after` is pinged, in at most `ping_timeout`; `math.inf` never pings.
    A dead one is replaced within the checkout, before the application's first statement. One that does not answer in
    time speaks for all that were heard from no later: they are replaced unasked. Each is replaced at an age of its own,
    in the last `recycle_jitter` of `pool_recycle`. A forked child leaves its parent's connections alone.

    Raises `sqlalchemy.exc.ArgumentError` for an asyncio engine, a pool that is no QueuePool, or a second call.
    """
    pool = engine.pool
    if engine.dialect.is_async:
        raise exc.ArgumentError("guard() is for engines that block; create_async_engine takes poolclass=KeeperPool")
    if not isinstance(pool, QueuePool):
        raise exc.ArgumentError(f"guard() looks after a QueuePool, and the engine has a {type(pool).__name__}")
    # `execution_options()` gives another engine on the same pool.
    if any(other.pool is pool for other in list(_guarded)):
        raise exc.ArgumentError("guard() was called for this engine before")
    watch = _guarded[engine] = Guard(engine, ping_after, ping_timeout, recycle_jitter)
    return watch


def heard_from(record: ConnectionPoolEntry) -> None:
    """The server has answered on this connection now, if it is a guarded one."""
    watched: _Watched | None = record.info.get(_KEY)
    if watched is not None:
        watched.heard = max(watched.heard, time.monotonic())


def guard_of(engine: Engine) -> Guard | None:
    """What looks after this engine, if something does."""
    return _guarded.get(engine)


class Guard:
    """Watches an engine's pool by its events, which `dispose()` passes on to the next pool. See `guard`.

    `opened` and `closed`, by reason, count since the engine was made.
    """

    def __init__(self, engine: Engine, ping_after: float, ping_timeout: float, recycle_jitter: float) -> None:
        self._engine = weakref.ref(engine)
        self._dialect, self._driver = engine.dialect, driver_of(engine.dialect)
        self._recycle = engine.pool._recycle
        self._ping_after, self._ping_timeout, self._recycle_jitter = ping_after, ping_timeout, recycle_jitter
        # Connections from before then are not handed out, or not before they answered, or have proved to be silent.
        self._retired_before = self._doubted_before = self._silent_before = -math.inf
        self._lock = threading.Lock()
        self._closed: Counter[CloseReason] = Counter()
        self.opened = 0
        for name in ("connect", "checkout", "reset", "checkin", "invalidate", "soft_invalidate", "close", "detach"):
            event.listen(engine, name, getattr(self, f"_{name}"))
        event.listen(engine, "handle_error", self._weigh)
        event.listen(engine, "rollback", self._rollback)

    @property
    def closed(self) -> Mapping[CloseReason, int]:
        """Connections closed, by reason."""
        with self._lock:
            return dict(self._closed)

    def renew(self) -> None:
        """Hand out none of the connections that are open now."""
        self._retired_before = time.monotonic()

    def _connect(self, _dbapi: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        now, raw = time.monotonic(), record.driver_connection
        # A file does not fall silent.
        heard = math.inf if self._dialect.name == "sqlite" else now
        watched = _Watched(
            raw, poll_of(self._driver.socket_of(raw)), os.getpid(), now, math.inf, heard, self._patience_with(raw)
        )
        if self._recycle >= 0:
            watched.due = now + self._recycle * (1 - self._recycle_jitter * random.random())  # noqa: S311 - no secret
        record.info[_KEY] = watched

    def _patience_with(self, raw: Any) -> float:
        """How long a connection may be silent and is handed out unasked."""
        idle_cut = self._driver.idle_cut_of(raw)
        if idle_cut is None or self._ping_after == math.inf:
            return self._ping_after
        # Not so long that the server ends it just when it is handed out.
        return min(self._ping_after, idle_cut / 2)

    def _checkout(self, dbapi: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        if _KEY not in record.info:
            self._adopt(dbapi, record)
        watched: _Watched = record.info[_KEY]
        if watched.pid != os.getpid():
            self._leave_to_the_parent(watched, record, proxy)
        now = time.monotonic()
        is_new = watched.taken is None
        watched.taken, watched.resetting = now, False
        if is_new:
            # For whoever waits for it, whatever is allowed or known of others: SQLAlchemy tries only twice.
            self._count_opened()
        elif reason := self._why_not(watched, dbapi, now):
            watched.reason = reason
            raise exc.DisconnectionError(f"not to be handed out: {reason}")

    def _adopt(self, dbapi: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Look after a connection that was opened before anybody asked for a guard."""
        self._connect(dbapi, record)
        record.info[_KEY].taken = time.monotonic()
        self._count_opened()

    def _leave_to_the_parent(
        self, watched: _Watched, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> NoReturn:
        self._driver.abandon(watched.raw, keep_session=True)
        self._count(CloseReason.ABANDONED)
        # What the record no longer has, SQLAlchemy does not close.
        cast("Any", record).dbapi_connection = cast("Any", proxy).dbapi_connection = None
        raise exc.DisconnectionError("not to be handed out: it belongs to the parent process")

    def _why_not(self, watched: _Watched, dbapi: DBAPIConnection, now: float) -> CloseReason | None:
        """The reason why a connection must not be handed out again, if there is one."""
        if now >= watched.due:
            return CloseReason.LIFETIME
        if watched.born < self._retired_before:
            return CloseReason.SQLSTATE
        verdict = look_at(self._driver.is_closed, watched.raw, watched.look_at_socket)
        if verdict is Verdict.GONE:
            return CloseReason.SOCKET
        heard = watched.heard
        if verdict is Verdict.GOOD and now - heard < watched.ping_after and heard >= self._doubted_before:
            return None
        return None if heard >= self._silent_before and self._answers(watched, dbapi) else CloseReason.PING

    def _answers(self, watched: _Watched, dbapi: DBAPIConnection) -> bool:
        first, began = threading.Lock(), time.monotonic()

        def cut_off() -> None:
            if first.acquire(blocking=False):
                self._driver.abort(watched.raw)

        timer = threading.Timer(self._ping_timeout, cut_off)
        timer.daemon = True
        timer.start()
        try:
            answered = bool(self._dialect.do_ping(dbapi))
        except Exception:
            answered = False
        finally:
            timer.cancel()
            if not (in_time := first.acquire(blocking=False)):
                # Its socket must not be closed, and its number given to another, while it is being cut off.
                timer.join()
        if not answered or not in_time:
            self._doubt_others(began, silent=not in_time)
            return False
        watched.heard = time.monotonic()
        return True

    def _doubt_others(self, began: float, *, silent: bool) -> None:
        """What ended or silenced one connection may have done so to all."""
        self._doubted_before = began
        if silent:
            # To ask one after the other would cost each caller a ping's time.
            self._silent_before = began

    def _reset(self, _dbapi: DBAPIConnection, record: ConnectionPoolEntry | None, _state: PoolResetState) -> None:
        # One that was detached has no record.
        watched: _Watched | None = None if record is None else record.info.get(_KEY)
        if watched is None:
            return
        watched.resetting = True
        if watched.pid != os.getpid():
            # A rollback would be that of the parent's transaction.
            raise exc.DisconnectionError("not to be reset: it belongs to the parent process")

    def _rollback(self, connection: Connection) -> None:
        if connection.closed or connection.invalidated:
            return
        watched: _Watched | None = connection.connection.info.get(_KEY)
        if watched is not None and watched.pid != os.getpid():
            # Neither SQLAlchemy nor a finaliser of the driver may reach the parent's session.
            self._driver.abandon(watched.raw, keep_session=True)
            connection.invalidate()

    def _checkin(self, _dbapi: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        watched: _Watched | None = record.info.get(_KEY)
        now = time.monotonic()
        if watched is not None and watched.taken is not None and now - watched.taken < watched.ping_after:
            # Whoever holds a connection longer may have been silent on it for as long.
            watched.heard = max(watched.heard, now)

    def _invalidate(self, _dbapi: DBAPIConnection, record: ConnectionPoolEntry, error: BaseException | None) -> None:
        watched: _Watched | None = record.info.get(_KEY)
        if watched is not None and watched.reason is None:
            otherwise = CloseReason.RESET if watched.resetting else CloseReason.INVALIDATED
            proven = error is not None and evidence_of(error) is not None
            watched.reason = CloseReason.SQLSTATE if proven else otherwise

    _soft_invalidate = _invalidate

    def _close(self, _dbapi: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        watched: _Watched | None = record.info.get(_KEY)
        if watched is None or watched.taken is None:
            return
        if watched.pid != os.getpid():
            # SQLAlchemy's goodbye, which comes next, would end the parent's session.
            self._driver.abandon(watched.raw, keep_session=True)
            watched.reason = CloseReason.ABANDONED
        self._count(watched.reason or self._unasked(watched, record))

    def _unasked(self, watched: _Watched, record: ConnectionPoolEntry) -> CloseReason:
        """Why SQLAlchemy closed a connection of its own accord: its age, its siblings, a full pool, the pool's end."""
        if time.monotonic() >= watched.due:
            return CloseReason.LIFETIME
        pool = engine.pool if (engine := self._engine()) is not None else None
        if pool is not None and pool._invalidate_time > record.starttime:  # type: ignore[attr-defined]
            return CloseReason.INVALIDATED
        is_full = isinstance(pool, QueuePool) and 0 < pool.size() <= pool.checkedin()
        return CloseReason.OVERFLOW if is_full else CloseReason.DISPOSED

    def _detach(self, _dbapi: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        if _KEY in record.info:
            self._count(CloseReason.DETACHED)

    def _count_opened(self) -> None:
        with self._lock:
            self.opened += 1

    def _count(self, reason: CloseReason) -> None:
        with self._lock:
            self._closed[reason] += 1

    def _weigh(self, context: ExceptionContext) -> None:
        """What an error says about connections: see `poolkeeper.pool.evidence`, which does the same for KeeperPool."""
        connection = context.connection
        found = evidence_of(context.original_exception)
        if found is None or connection is None or connection.closed or connection.invalidated:
            return
        if found is Evidence.GONE:
            note_disconnect(context)
        elif refuses_by_nature(connection):
            return
        elif self._driver.refuses_writes(connection.connection.driver_connection) is not False:
            self._retired_before = time.monotonic()
