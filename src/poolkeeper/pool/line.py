"""The callers of a pool who wait: let in or refused, handed a connection, timed out, cancelled."""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from typing import TYPE_CHECKING

from sqlalchemy.util import await_only

from poolkeeper.model import PoolEventKind
from poolkeeper.policy import Admission, Deadlines, Refusal, Terms
from poolkeeper.pool import outlook, problems
from poolkeeper.pool.caller import waiting_caller
from poolkeeper.pool.record import KeeperRecord

if TYPE_CHECKING:
    from poolkeeper.pool.home import Home

# Callers whose time is up at the same moment leave in groups, so that the loop serves others in between.
_LEAVE_AT_ONCE = 50


class Waiter:
    """A caller in the queue. Its future brings a record, or what makes the error to raise.

    After `useful_until` an answer is of no use to it any more; infinite for one that does not wait for others.
    """

    __slots__ = ("future", "since", "task", "useful_until")

    def __init__(self, loop: asyncio.AbstractEventLoop, since: float) -> None:
        self.future: asyncio.Future[KeeperRecord | problems.Problem] = loop.create_future()
        self.since = since
        self.useful_until = math.inf
        self.task = asyncio.current_task()


class Line:
    """The queue of one `Home`, as its callers meet it."""

    def __init__(self, home: Home) -> None:
        self._home, self._queue = home, home.queue
        options = home.options
        self.admission = Admission(options.timeout, options.client_timeout, options.max_waiting)
        self._deadlines: Deadlines[Waiter] = Deadlines(self._queue.waiting)
        self._alarm: asyncio.Handle | None = None
        self._alarm_at = math.inf

    def wait(self) -> tuple[KeeperRecord, float]:
        """A connection for the current task, and how many seconds it waited. See `KeeperPool.connect`.

        A task that is cancelled leaves no trace.
        """
        waiter = Waiter(self._home.loop, time.monotonic())
        self._expect_any(waiter.since)
        self._line_up(waiter)
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
        if self.admission.is_too_late(now, waiter.useful_until):
            self._home.note(PoolEventKind.TIMED_OUT, now - waiter.since)
            waiter.future.set_result(problems.timed_out(self._home))
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

    def _expect_any(self, now: float) -> None:
        """Raise where nobody will get a connection: the pool drains, or the database is away for long."""
        home, queue = self._home, self._queue
        if home.draining:
            error = problems.closed(home)()
            raise error
        hopeless = home.outage.is_lasting(now) and home.outage.is_news(now) and not home.has_connections
        if hopeless and (queue.connecting or not queue.connects_at_once):
            error = problems.unreachable(home)()
            raise error

    def _line_up(self, waiter: Waiter) -> None:
        """Let it join the queue, or raise."""
        now, caller = waiter.since, waiting_caller()
        spent, own = caller.spent(now) if caller is not None else 0.0, None
        if self._queue.has_room:
            terms = self.admission.terms_to_connect(spent, self._home.options.connect_limit)
        else:
            own = outlook.held_by(self._home, waiter.task) if caller is not None else None
            terms = self.admission.terms_to_queue(spent)
            self._admit(waiter, terms, own)
        waiter.useful_until = now + terms.useful
        self._home.note(PoolEventKind.WAITING, 0.0)
        self._deadlines.add(waiter, now + terms.patience)
        self._set_alarm(now + min(terms.patience, self.admission.standing), now)
        self._queue.join(waiter, urgent=own is not None)

    def _admit(self, waiter: Waiter, terms: Terms, own: KeeperRecord | None) -> None:
        """Raise for a caller that waiting for others cannot help; `own` is what it holds already."""
        home, queue, now = self._home, self._queue, waiter.since
        if not home.options.timeout:
            home.note(PoolEventKind.TIMED_OUT, 0.0)
            error = problems.timed_out(home)()
            raise error
        in_vain = own is not None and outlook.would_deadlock(home, waiter.task)
        if in_vain or outlook.is_leaked(home, now, self.admission.standing):
            raise self._refused(self.admission.futile(terms), own)
        ahead = len(queue.waiting) if own is None else queue.urgent
        refusal = self.admission.refusal(now, ahead, queue.limits.capacity, queue.in_use, terms)
        if refusal is not None:
            raise self._refused(refusal, own)

    def _refused(self, refusal: Refusal, own: KeeperRecord | None) -> BaseException:
        self._home.note(PoolEventKind.REFUSED, refusal.predicted_wait, reason=refusal.reason)
        return problems.saturated(self._home, refusal, own)

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
        self._deadlines.tidy()
        if not self._queue.waiting:
            self.admission.emptied()

    def _set_alarm(self, moment: float, now: float) -> None:
        """One timer does for all: it rings when the first of them may have to leave."""
        if moment == math.inf or (self._alarm is not None and self._alarm_at <= moment):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        # Whoever waits holds the pool; a timer of nobody's must not.
        ours: weakref.ref[Line] = weakref.ref(self)
        self._alarm = self._home.loop.call_later(max(0.0, moment - now), _ring, ours)
        self._alarm_at = moment

    def time_is_up(self) -> None:
        """Send away those who waited as long as they may, and everybody where nobody returns a connection."""
        self._alarm = None
        now, problem = time.monotonic(), None
        standing = self.admission.standing
        in_vain = outlook.is_leaked(self._home, now, standing)
        for _ in range(_LEAVE_AT_ONCE):
            waiter = self._queue.head() if in_vain else self._deadlines.due(now)
            if waiter is None:
                if self._queue.waiting:
                    self._set_alarm(min(self._deadlines.next, now + standing), now)
                return
            problem = problem or (problems.leaked(self._home) if in_vain else problems.timed_out(self._home))
            self._home.note(PoolEventKind.TIMED_OUT, now - waiter.since)
            self.send_away(waiter, problem)
        self._alarm, self._alarm_at = self._home.loop.call_soon(self.time_is_up), now


def _ring(line: weakref.ref[Line]) -> None:
    if (ours := line()) is not None:
        ours.time_is_up()
