"""The connection of the scripted driver: a real socket pair, with the database at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

from poolkeeper.testing.scripted.errors import ConnectionLostError, InterfaceError
from poolkeeper.testing.scripted.script import Script

if TYPE_CHECKING:
    from poolkeeper.testing.scripted.database import ScriptedDatabase

_ANSWER = b"A"
_NOTICE = b"N"
_MUCH = 4096


class ScriptedConnection:
    """What `driver_connection` is. Its coroutines are the client's; `kill`, `silence` and `notice` are the server's.

    `number` counts the connections of the database, `opened_at` is in seconds on the event loop's clock.

    Used on another event loop than the one it was opened on it raises a RuntimeError, as other drivers do.
    """

    def __init__(self, database: ScriptedDatabase, number: int) -> None:
        self.database = database
        self.number = number
        self.autocommit = False
        self.in_transaction = False
        self.closed = False
        self.is_silent = False
        self._loop = asyncio.get_running_loop()
        self.opened_at = self._loop.time()
        self._client, self._server = socket.socketpair()
        self._client.setblocking(False)
        self._server.setblocking(False)
        self._errors: list[BaseException] = []
        self._is_aborted = False
        self._asking = 0

    def __repr__(self) -> str:
        state = "closed" if self.closed else "killed" if self.is_killed else "silent" if self.is_silent else "open"
        return f"<ScriptedConnection {self.number}, {state}>"

    @property
    def is_released(self) -> bool:
        """Whether the client has let go of it; a killed connection is still held until then."""
        return self._client.fileno() < 0

    @property
    def is_killed(self) -> bool:
        """Whether the server has closed its end."""
        return self._server.fileno() < 0

    def fileno(self) -> int:
        """The client's socket; -1 once it is closed."""
        return self._client.fileno()

    # The server's side

    def kill(self) -> None:
        """The server ends this connection: the client's socket reads end-of-file."""
        self._server.close()

    def silence(self) -> None:
        """Nothing is answered any more, and the socket stays open: a peer that the network has lost."""
        self.is_silent = True

    def notice(self) -> None:
        """The server says something unasked: the client's socket becomes readable and the connection stays good."""
        self._server.send(_NOTICE)

    # The client's side

    def notice_death(self) -> None:
        """The driver finds out by itself that the connection is gone, as one that reads while it is idle."""
        self.kill()
        self.closed = True

    async def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Every SELECT has the result 1."""
        self.in_transaction = not self.autocommit
        self.database.executed.append((self.number, statement, parameters))
        await self._ask(self.database.statements)
        return [(1,)] if statement.lstrip().upper().startswith("SELECT") else []

    async def ping(self) -> None:
        await self._ask(self.database.pings)

    async def commit(self) -> None:
        """No round trip without a transaction."""
        await self._end_transaction(self.database.commits)

    async def rollback(self) -> None:
        """No round trip without a transaction."""
        await self._end_transaction(self.database.rollbacks)

    async def close(self) -> None:
        """Say goodbye; the socket is closed however that ends."""
        if self.is_released:
            return
        try:
            with contextlib.suppress(ConnectionLostError):
                await self._ask(self.database.closes)
        finally:
            self.abort()

    def abort(self) -> None:
        """Close without a word; requests under way fail. May be called twice, and from the garbage collector."""
        if self.is_released:
            return
        self.closed = self._is_aborted = True
        if self._asking:
            # The kernel would give the number to somebody else while the event loop still polls it.
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)
        else:
            self._release()

    terminate = abort

    async def _end_transaction(self, script: Script) -> None:
        if self.in_transaction:
            await self._ask(script)
            self.in_transaction = False

    async def _ask(self, script: Script) -> None:
        self._check()
        self._asking += 1
        try:
            with script.request(self._reply):
                await self._receive()
        except asyncio.CancelledError:
            self._forget_answer()
            raise
        finally:
            self._asking -= 1
            if self._is_aborted and not self._asking:
                self._release()

    def _check(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(f"{self!r} is attached to a different loop")
        if self.closed:
            raise ConnectionLostError("the connection is closed")
        if self._asking:
            raise InterfaceError("another operation is in progress on this connection")

    def _reply(self, error: BaseException | None) -> None:
        if self.is_silent or self.is_killed:
            return
        if error is not None:
            self._errors.append(error)
        with contextlib.suppress(OSError):
            self._server.send(_ANSWER)

    async def _receive(self) -> None:
        received = _NOTICE
        while received == _NOTICE:
            received = await self._read()
        if not received:
            self.closed = True
            raise ConnectionLostError("the server closed the connection")
        if self._errors:
            raise self._errors.pop()

    def _forget_answer(self) -> None:
        self._errors.clear()
        with contextlib.suppress(OSError):
            self._client.recv(_MUCH)

    async def _read(self) -> bytes:
        try:
            return await self._loop.sock_recv(self._client, 1)
        except OSError:
            return b""

    def _release(self) -> None:
        if not self.is_released:
            self._client.close()
            self._server.close()
            self.database.released(self)
