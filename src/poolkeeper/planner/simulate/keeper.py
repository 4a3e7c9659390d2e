"""A process with KeeperPool: `poolkeeper.policy` decides, what takes time there is an event here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from poolkeeper.planner.simulate.requests import Connection, Outcome, Request
from poolkeeper.planner.simulate.scenario import KeeperPolicy
from poolkeeper.policy import Admission, Deadlines, Outage, Queue, Verdict

if TYPE_CHECKING:
    from poolkeeper.planner.simulate.world import World

_REFUSED = ConnectionRefusedError("the database is away")
# As in the pool: a connect may take this long, also where nobody may wait.
_CONNECT_LIMIT = 10.0


class KeeperProcess:
    """Does for the policy what `pool.home`, `pool.line` and `pool.connecting` do for it in a service."""

    __slots__ = (
        "_admission",
        "_alarm",
        "_deadlines",
        "_lingering",
        "_outage",
        "_paused",
        "_policy",
        "_queue",
        "_world",
        "ended",
        "sessions",
        "stopping",
    )

    def __init__(self, world: World, policy: KeeperPolicy) -> None:
        self._world, self._policy = world, policy
        self._queue: Queue[Request, Connection] = Queue(policy.limits, self)
        self._admission = Admission(policy.timeout, policy.client_timeout, policy.max_waiting)
        self._deadlines: Deadlines[Request] = Deadlines(self._queue.waiting)
        self._outage = Outage(policy.connect_grace)
        self._alarm, self._lingering = math.inf, False
        self._paused = 0
        self.sessions = 0
        self.stopping = self.ended = False

    @property
    def under_way(self) -> int:
        return self._queue.in_use + len(self._queue.waiting)

    def start(self) -> None:
        self._queue.settle()

    # Callers: see pool.line

    def ask(self, request: Request) -> None:
        connection = self._queue.take()
        if connection is not None:
            self._world.begin(request, connection)
            return
        problem = self._line_up(request, self._world.clock.now)
        if problem is not None:
            self._world.over(request, problem)

    def _line_up(self, request: Request, now: float) -> Outcome | None:
        """Let it join the queue, or say why waiting cannot help it."""
        queue, admission = self._queue, self._admission
        hopeless = self._outage.is_lasting(now) and self._outage.is_news(now) and not self._has_connections
        if hopeless and (queue.connecting or not queue.connects_at_once):
            return Outcome.FAILED
        # A request has waited for nothing before it asks, and never holds another connection.
        if queue.has_room:
            terms = admission.terms_to_connect(0.0, _CONNECT_LIMIT)
        else:
            terms = admission.terms_to_queue(0.0)
            if not self._policy.timeout:
                return Outcome.TIMED_OUT
            if admission.refusal(now, len(queue.waiting), queue.limits.capacity, queue.in_use, terms) is not None:
                return Outcome.REFUSED
        request.useful_until = now + terms.useful
        self._deadlines.add(request, now + terms.patience)
        self._set_alarm(now + terms.patience)
        self._world.joined(request)
        queue.join(request)
        return None

    @property
    def _has_connections(self) -> bool:
        return bool(self._queue.idle) or self._queue.in_use > 0 or self._queue.checking > 0

    def _set_alarm(self, moment: float) -> None:
        if moment < self._alarm:
            self._alarm = moment
            self._world.clock.at(moment, self._time_is_up, moment)

    def _time_is_up(self, moment: float) -> None:
        if moment != self._alarm:
            # An earlier one took its place.
            return
        self._alarm = math.inf
        while (request := self._deadlines.due(moment)) is not None:
            self._send_away(request, Outcome.TIMED_OUT)
        self._set_alarm(self._deadlines.next)

    def _send_away(self, request: Request, outcome: Outcome) -> None:
        self._queue.leave(request)
        self._someone_left()
        self._world.left(request)
        self._world.over(request, outcome)

    def send_all_away(self) -> None:
        for request in tuple(self._queue.waiting):
            self._send_away(request, Outcome.FAILED)

    def end(self) -> None:
        self.ended = self._queue.suspended = True

    def _someone_left(self) -> None:
        self._deadlines.tidy()
        if not self._queue.waiting:
            self._admission.emptied()

    # Connections that come home: see pool.home

    def give_back(self, connection: Connection, held: float) -> None:
        self._admission.held(held)
        if connection.generation == self._world.database.generation:
            self._hand_back(connection)
        else:
            self._queue.vanished()

    def _hand_back(self, connection: Connection) -> None:
        """To the next caller, or among the idle."""
        if not self._policy.overflow_linger and len(self._queue.idle) >= self._policy.limits.pool_size:
            self._queue.retire(connection)
            return
        connection.idle_since = self._world.clock.now
        self._queue.give_back(connection)
        self._look_after_surplus()

    def lost(self, connection: Connection) -> None:
        self._admission.held(self._world.clock.now - connection.taken)
        self._queue.vanished()

    @property
    def _surplus(self) -> int:
        return self._queue.open - self._policy.limits.pool_size

    def _look_after_surplus(self) -> None:
        if not self._lingering and self._surplus > 0 and self._queue.idle and not self.ended:
            self._lingering = True
            self._world.clock.after(self._policy.overflow_linger, self._close_surplus, None)

    def _close_surplus(self, _: None) -> None:
        """Overflow that was idle for long enough: see pool.upkeep."""
        self._lingering = False
        surplus, queue = self._surplus, self._queue
        lingered = self._world.clock.now - self._policy.overflow_linger
        for connection in tuple(queue.idle):
            if surplus > 0 and connection.idle_since <= lingered and queue.withdraw(connection):
                surplus -= 1
                self.discard(connection)
        self._look_after_surplus()

    # What the queue asks for: see poolkeeper.policy.Actions

    def look(self, connection: Connection, /) -> Verdict:
        return Verdict.GOOD if connection.generation == self._world.database.generation else Verdict.GONE

    def hand_over(self, request: Request, connection: Connection, /) -> None:
        now = self._world.clock.now
        self._someone_left()
        self._world.left(request)
        if self._admission.is_too_late(now, request.useful_until):
            self._hand_back(connection)
            self._world.over(request, Outcome.TIMED_OUT)
            return
        self._admission.served(now)
        self._world.begin(request, connection)

    def check(self, _: Connection, /) -> None:
        raise AssertionError("nothing is ever doubted here")

    def discard(self, connection: Connection, /) -> None:
        self._world.clock.after(0.0, self._closed, connection)

    def _closed(self, connection: Connection) -> None:
        if self.ended:
            # It had been closed with all the others.
            return
        self._world.database.closed(self, connection.generation)
        self._queue.closed()

    # Connecting: see pool.connecting

    def open(self) -> None:
        succeeds, seconds = self._world.database.connect(self)
        began = Connection(self._world.database.generation if succeeds else -1)
        self._world.clock.after(seconds, self._connected, (began, seconds))

    def _connected(self, attempt: tuple[Connection, float]) -> None:
        connection, seconds = attempt
        if self.ended:
            return
        if connection.generation == self._world.database.generation:
            self._outage.ended()
            self._paused = 0
            self._queue.connects_at_once = self._queue.limits.connects_at_once
            self._queue.connected(connection)
        else:
            self._failed(seconds)

    def _failed(self, seconds: float) -> None:
        now, queue = self._world.clock.now, self._queue
        queue.connects_at_once = 1
        delay = self._outage.failed(_REFUSED, now, seconds, self._world.dice(), curable=True)
        if self._outage.is_lasting(now) and not self._has_connections:
            self.send_all_away()
        if delay:
            queue.connects_at_once = 0
            if not self._paused:
                self._paused = self._world.ticket()
                self._world.clock.after(delay, self._go_on, self._paused)
        queue.connect_failed()

    def _go_on(self, ticket: int) -> None:
        if ticket == self._paused:
            self._paused = 0
            self._queue.connects_at_once = 1
            self._queue.settle()
