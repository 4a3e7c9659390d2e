"""The callers of a pool who wait: let in or refused, handed a connection, timed out, cancelled."""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from typing import TYPE_CHECKING

from sqlalchemy.util import await_only

from poolkeeper.model import PoolEventKind
from poolkeeper.policy import Admission
from poolkeeper.pool import problems
from poolkeeper.pool.record import KeeperRecord

if TYPE_CHECKING:
    from poolkeeper.pool.home import Home

# Callers whose time is up at the same moment leave in groups, so that the loop serves others in between.
_LEAVE_AT_ONCE = 50


class Waiter:
    """A caller in the queue. Its future brings a record, or what makes the error to raise."""

    __slots__ = ("deadline", "future", "since", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop, since: float, patience: float) -> None:
        self.future: asyncio.Future[KeeperRecord | problems.Problem] = loop.create_future()
        self.since = since
        self.deadline = since + patience
        self.task = asyncio.current_task()


class Line:
    """The queue of one `Home`, as its callers meet it."""

    def __init__(self, home: Home) -> None:
        self._home, self._queue = home, home.queue
        options = home.options
        self.admission = Admission(options.timeout, options.client_timeout, options.max_waiting)
        # With a timeout of 0 nobody waits for others; the connect of those who need not wait takes what it takes.
        self._patience = self.admission.longest_wait or options.connect_limit
        self._alarm: asyncio.Handle | None = None

    def wait(self) -> tuple[KeeperRecord, float]:
        """A connection for the current task, and how many seconds it waited. See `KeeperPool.connect`.

        A task that is cancelled leaves no trace.
        """
        now = time.monotonic()
        self._admit(now)
        waiter = Waiter(self._home.loop, now, self._patience)
        self._home.note(PoolEventKind.WAITING, 0.0)
        self._set_alarm(waiter.deadline, now)
        self._queue.join(waiter)
        try:
            outcome = waiter.future.result() if waiter.future.done() else await_only(waiter.future)
        except BaseException:
            self._walk_out(waiter)
            raise
        if isinstance(outcome, KeeperRecord):
            return outcome, outcome.taken - waiter.since
        raise outcome()

    def hand_over(self, waiter: Waiter, record: KeeperRecord) -> None:
        """This caller is next."""
        now = time.monotonic()
        record.taken = now
        self._someone_left()
        if waiter.future.done():
            # Its task was cancelled, and has not run since.
            self._home.note(PoolEventKind.CANCELLED, now - waiter.since)
            self._home.hand_back(record, now)
            return
        record.holder = waiter.task
        self.admission.served(now)
        waiter.future.set_result(record)

    def send_away(self, waiter: Waiter, problem: problems.Problem) -> None:
        """Let a waiting caller raise this."""
        self._queue.leave(waiter)
        if not waiter.future.done():
            waiter.future.set_result(problem)
        self._someone_left()

    def send_all_away(self, problem: problems.Problem) -> None:
        """Let everybody who waits raise this."""
        for waiter in tuple(self._queue.waiting):
            self.send_away(waiter, problem)

    def _admit(self, now: float) -> None:
        """Raise for a caller that waiting cannot help."""
        home, queue = self._home, self._queue
        if home.draining:
            error = problems.closed(home)()
            raise error
        hopeless = home.outage.is_lasting(now) and home.outage.is_news(now) and not home.has_connections
        if hopeless and (queue.connecting or not queue.connects_at_once):
            error = problems.unreachable(home)()
            raise error
        if queue.has_room:
            # What takes time is a connect or a ping, and how long others hold theirs says nothing about it.
            return
        if not home.options.timeout:
            home.note(PoolEventKind.TIMED_OUT, 0.0)
            error = problems.timed_out(home)()
            raise error
        refusal = self.admission.refusal(now, len(queue.waiting), queue.limits.capacity, queue.in_use)
        if refusal is not None:
            home.note(PoolEventKind.REFUSED, refusal.predicted_wait)
            raise problems.saturated(home, refusal)

    def _walk_out(self, waiter: Waiter) -> None:
        """The waiting task was cancelled. What it was handed before it could run goes to the next."""
        future = waiter.future
        if self._queue.leave(waiter):
            self._home.note(PoolEventKind.CANCELLED, time.monotonic() - waiter.since)
            self._someone_left()
        elif future.done() and not future.cancelled() and isinstance(record := future.result(), KeeperRecord):
            record.holder = None
            now = time.monotonic()
            self._home.note(PoolEventKind.CANCELLED, now - waiter.since)
            self._home.hand_back(record, now)

    def _someone_left(self) -> None:
        if not self._queue.waiting:
            self.admission.emptied()

    def _set_alarm(self, deadline: float, now: float) -> None:
        # Everybody is equally patient, so whoever came first also leaves first: one timer does for all.
        if self._alarm is None and deadline < math.inf:
            # Whoever waits holds the pool; a timer of nobody's must not.
            ours: weakref.ref[Line] = weakref.ref(self)
            self._alarm = self._home.loop.call_later(max(0.0, deadline - now), _ring, ours)

    def time_is_up(self) -> None:
        """Send away those who waited as long as they may."""
        self._alarm = None
        now, problem = time.monotonic(), None
        for _ in range(_LEAVE_AT_ONCE):
            waiter = self._queue.head()
            if waiter is None:
                return
            if waiter.deadline > now:
                self._set_alarm(waiter.deadline, now)
                return
            problem = problem or problems.timed_out(self._home)
            self._home.note(PoolEventKind.TIMED_OUT, now - waiter.since)
            self.send_away(waiter, problem)
        self._alarm = self._home.loop.call_soon(self.time_is_up)


def _ring(line: weakref.ref[Line]) -> None:
    if (ours := line()) is not None:
        ours.time_is_up()
