"""A process with SQLAlchemy's `AsyncAdaptedQueuePool`, step by step as `QueuePool._do_get` and `asyncio.Queue` go."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from poolkeeper.planner.simulate.requests import Connection, Outcome, Request
from poolkeeper.planner.simulate.scenario import StockPolicy

if TYPE_CHECKING:
    from poolkeeper.planner.simulate.world import World

_DEAD = -1


class StockProcess:
    """Barging, no refusals, connects in the caller's time, and nobody is woken when one fails."""

    __slots__ = (
        "_getters",
        "_idle",
        "_in_use",
        "_overflow",
        "_policy",
        "_woken",
        "_world",
        "ended",
        "sessions",
        "stopping",
    )

    def __init__(self, world: World, policy: StockPolicy) -> None:
        self._world, self._policy = world, policy
        self._idle: deque[Connection] = deque()
        # Who waits, and who was woken and has not run yet.
        self._getters: OrderedDict[Request, None] = OrderedDict()
        self._woken: dict[Request, None] = {}
        self._overflow = -policy.pool_size
        self._in_use = 0
        self.sessions = 0
        self.stopping = self.ended = False

    @property
    def under_way(self) -> int:
        return self._in_use + len(self._getters) + len(self._woken)

    def start(self) -> None:
        """It opens nothing before somebody asks."""

    def ask(self, request: Request) -> None:
        if self._idle:
            self._check_out(request, self._idle.popleft())
        elif self._overflow < self._policy.max_overflow:
            self._connect_anew(request)
        else:
            clock = self._world.clock
            request.deadline = clock.now + self._policy.timeout
            clock.at(request.deadline, self._time_is_up, request)
            self._getters[request] = None
            self._world.joined(request)

    def _check_out(self, request: Request, connection: Connection) -> None:
        self._in_use += 1
        if connection.generation == self._world.database.generation:
            self._world.begin(request, connection, since=request.woken)
        else:
            # The ping finds it dead.
            self._connect(request, connection)

    # Connecting

    def _connect_anew(self, request: Request) -> None:
        self._overflow += 1
        self._in_use += 1
        self._connect(request, None)

    def _connect(self, request: Request, old: Connection | None) -> None:
        succeeds, seconds = self._world.database.connect(self)
        generation = self._world.database.generation if succeeds else _DEAD
        self._world.clock.after(seconds, self._connected, (request, old, generation))

    def _connected(self, attempt: tuple[Request, Connection | None, int]) -> None:
        request, old, generation = attempt
        if generation == self._world.database.generation and not self.ended:
            connection = old or Connection(generation)
            connection.generation = generation
            self._world.begin(request, connection)
            return
        self._in_use -= 1
        if old is None:
            self._overflow -= 1
        else:
            old.generation = _DEAD
            self._put(old)
        self._world.over(request, Outcome.FAILED)

    # Connections that come home

    def give_back(self, connection: Connection, held: float) -> None:  # noqa: ARG002 - nobody learns from it
        self._in_use -= 1
        if len(self._idle) >= self._policy.pool_size:
            self._overflow -= 1
            self._world.database.closed(self, connection.generation)
        else:
            self._put(connection)

    def lost(self, connection: Connection) -> None:
        self.give_back(connection, 0.0)

    def _put(self, connection: Connection) -> None:
        self._idle.append(connection)
        self._wake_next()

    def _wake_next(self) -> None:
        if self._getters:
            request, _ = self._getters.popitem(last=False)
            self._woken[request] = None
            request.woken = self._world.clock.now
            self._world.clock.after(self._policy.turn, self._run, request)

    def _run(self, request: Request) -> None:
        """A woken caller has its turn."""
        if request not in self._woken:
            return
        del self._woken[request]
        if self._idle:
            self._world.left(request)
            self._check_out(request, self._idle.popleft())
        else:
            # Somebody was quicker.
            self._getters[request] = None

    def _time_is_up(self, request: Request) -> None:
        if request in self._woken:
            del self._woken[request]
            if self._idle:
                self._wake_next()
        elif request in self._getters:
            del self._getters[request]
        else:
            return
        self._world.left(request)
        if self._overflow < self._policy.max_overflow:
            self._connect_anew(request)
        else:
            self._world.over(request, Outcome.TIMED_OUT)

    def send_all_away(self) -> None:
        for request in (*self._getters, *self._woken):
            self._world.left(request)
            self._world.over(request, Outcome.FAILED)
        self._getters.clear()
        self._woken.clear()

    def end(self) -> None:
        self.ended = True
