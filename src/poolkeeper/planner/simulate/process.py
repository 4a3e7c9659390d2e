"""What every simulated process has in common, whatever pool it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from poolkeeper.planner.simulate.requests import Connection, Outcome, Request

if TYPE_CHECKING:
    from poolkeeper.planner.simulate.world import World


class Process(Protocol):
    """A process with its pool. `sessions` counts those of its connections that the server (or pooler) knows."""

    sessions: int
    stopping: bool
    ended: bool

    @property
    def under_way(self) -> int:
        """Requests that wait for a connection or hold one."""
        ...

    def start(self) -> None:
        """Open what is to be open before anybody asks."""
        ...

    def ask(self, request: Request) -> None:
        """A request wants a connection. Ends in `World.begin` or `World.over`, now or later."""
        ...

    def give_back(self, connection: Connection, held: float) -> None:
        """A request is done with its connection."""
        ...

    def lost(self, connection: Connection) -> None:
        """The connection that a request held is dead."""
        ...

    def send_all_away(self) -> None:
        """Nobody who waits is served."""
        ...

    def end(self) -> None:
        """The process is no more. Its connections are closed by whoever ends it."""
        ...


class Nobody:
    """Where requests go while no process serves: they fail at once, as at a load balancer with no one behind it."""

    sessions = under_way = 0
    stopping = ended = False

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self) -> None: ...

    def ask(self, request: Request) -> None:
        self._world.over(request, Outcome.FAILED)

    def give_back(self, connection: Connection, held: float) -> None: ...

    def lost(self, connection: Connection) -> None: ...

    def send_all_away(self) -> None: ...

    def end(self) -> None: ...


class Sessions:
    """The sessions of a database, or the clients of a pooler: who has how many, and whether one more may be opened."""

    __slots__ = ("_world", "generation", "is_away", "open")

    def __init__(self, world: World) -> None:
        self._world = world
        self.open = self.generation = 0
        self.is_away = False

    def connect(self, process: Process) -> tuple[bool, float]:
        """Begin to connect: whether that will succeed, as far as is known now, and the seconds that it takes."""
        database, most = self._world.scenario.database, self._world.scenario.most_connections
        if self.is_away:
            return False, self._world.refusal
        if most is not None and self.open >= most:
            self._world.results.connects_refused += 1
            return False, database.connect
        self.open += 1
        process.sessions += 1
        self._world.results.connections(self._world.clock.now, self.open)
        return True, database.connect

    def closed(self, process: Process, generation: int, number: int = 1) -> None:
        """Connections were closed. What was opened before the latest restart the server has forgotten already."""
        if generation == self.generation:
            self.open -= number
            process.sessions -= number
            self._world.results.connections(self._world.clock.now, self.open)

    def restart(self, processes: list[Process]) -> None:
        """All sessions end, and no new ones begin."""
        self.generation += 1
        self.is_away = True
        self.open = 0
        for process in processes:
            process.sessions = 0
        self._world.results.connections(self._world.clock.now, 0)
