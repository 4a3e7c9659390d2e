"""The pooler in between: server connections that all processes share, first come first served."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from poolkeeper.planner.simulate.requests import Connection

if TYPE_CHECKING:
    from poolkeeper.planner.simulate.world import World


class SharedServer:
    """Its clients are the connections of pools; each has a server connection while a request works on it."""

    def __init__(self, world: World, size: int) -> None:
        self._world, self._size = world, size
        self._waiting: deque[Connection] = deque()
        self._busy = 0
        self._away = False

    def ask(self, connection: Connection) -> None:
        """A request has begun on this connection, and wants the server."""
        if self._busy < self._size and not self._away:
            self._count(1)
            self._grant(connection)
        else:
            self._waiting.append(connection)

    def release(self) -> None:
        """A request is done with the server."""
        if self._waiting and not self._away:
            self._grant(self._waiting.popleft())
        else:
            self._count(-1)

    def _grant(self, connection: Connection) -> None:
        request = connection.request
        assert request is not None  # noqa: S101 - only those that have one ask
        self._world.results.granted_by_pooler(request, self._world.clock.now - connection.taken)
        self._world.work(request, connection)

    def _count(self, more: int) -> None:
        self._busy += more
        self._world.results.at_server(self._world.clock.now, self._busy)

    def drop(self, processes: set[int]) -> list[Connection]:
        """Connections of these processes (by their ids) wait no longer; returns them."""
        dropped = [each for each in self._waiting if each.request and id(each.request.process) in processes]
        self._waiting = deque(each for each in self._waiting if each not in dropped)
        return dropped

    def suspend(self) -> None:
        """The server is away."""
        self._away = True

    def resume(self) -> None:
        """The server is back."""
        self._away = False
        while self._waiting and self._busy < self._size:
            self._count(1)
            self._grant(self._waiting.popleft())
