"""A database that does as it is told, for tests of what happens when one does not."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from poolkeeper.testing.scripted.connection import ScriptedConnection
from poolkeeper.testing.scripted.script import Script

_DRIVER = "scripted"
registry.register(_DRIVER, "poolkeeper.testing.scripted.dialect", "ScriptedDialect")


class ScriptedDatabase:
    """A database inside the test: no server, no threads, and every answer, delay and death is the test's to decide.

        database = ScriptedDatabase()
        engine = database.engine(pool_size=2)
        database.connects.fail(ConnectionRefusedError, times=1)
        database.statements.hang()
        database.connections[0].kill()

    `connects`, `pings`, `statements`, `commits`, `rollbacks` and `closes` say how each kind of request is answered.
    Every connection has a real socket, so that what looks at sockets sees a killed connection. For one event loop at
    a time.
    """

    def __init__(self) -> None:
        self.connects = Script("connects")
        self.pings = Script("pings")
        self.statements = Script("statements")
        self.commits = Script("commits")
        self.rollbacks = Script("rollbacks")
        self.closes = Script("closes")
        self.executed: list[tuple[int, str, Any]] = []
        self.opened = 0
        self.closed = 0
        self.peak = 0
        self._open: dict[ScriptedConnection, None] = {}

    def __repr__(self) -> str:
        return (
            f"<ScriptedDatabase: {len(self._open)} open of {self.opened} opened, {self.connects.under_way} connecting>"
        )

    @property
    def connections(self) -> tuple[ScriptedConnection, ...]:
        """Those that the client has opened and not closed, in the order of opening."""
        return tuple(self._open)

    @property
    def scripts(self) -> tuple[Script, ...]:
        return self.connects, self.pings, self.statements, self.commits, self.rollbacks, self.closes

    def engine(self, **arguments: Any) -> AsyncEngine:
        """An engine on this database; `arguments` are those of `create_async_engine`."""
        return create_async_engine(URL.create(_DRIVER), async_creator=self.connect, **arguments)

    async def connect(self) -> ScriptedConnection:
        """Open a connection, as `connects` says. Cancelled, it leaves none open."""
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def reply(error: BaseException | None) -> None:
            if answered.done():
                return
            if error is None:
                answered.set_result(None)
            else:
                answered.set_exception(error)

        with self.connects.request(reply):
            await answered
        return self._accept()

    def heal(self) -> None:
        """Answer everything that hangs, and every request from now on. Dead connections stay dead."""
        for script in self.scripts:
            script.release()

    def kill_all(self) -> None:
        """End every connection, as a restart does."""
        for connection in self.connections:
            connection.kill()

    def released(self, connection: ScriptedConnection) -> None:
        """A client closed its connection."""
        if self._open.pop(connection, self) is None:
            self.closed += 1

    def _accept(self) -> ScriptedConnection:
        self.opened += 1
        connection = ScriptedConnection(self, self.opened)
        self._open[connection] = None
        self.peak = max(self.peak, len(self._open))
        return connection
