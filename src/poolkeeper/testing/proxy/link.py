"""One client's connection through the proxy. Lives in the proxy's loop only."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from poolkeeper.testing.proxy.traffic import Meter
from poolkeeper.testing.proxy.witness import Witness

Address = tuple[socket.AddressFamily, Any]

_CHUNK = 65536
_CHUNKS_IN_FLIGHT = 256
_LINGER_ZERO = struct.pack("ii", 1, 0)  # close() then sends RST, and throws away what was not sent


@dataclass
class Weather:
    """What all connections of one proxy live in."""

    latency: float = 0.0
    meter: Meter = field(default_factory=Meter)


class Link:
    """Carries bytes between a client and the server until both have closed, or until the link is told to end."""

    def __init__(self, client: socket.socket, weather: Weather, witness: Witness) -> None:
        self.is_silent = False
        self.has_lost = False
        self.ends_with_reset = False
        self._weather, self._witness = weather, witness
        self._sockets = [client]
        self._awaits_turn = True

    async def forward(self, addresses: Sequence[Address]) -> None:
        """Carry both ways. A reset of one side becomes a reset of the other, and so does a server that refuses."""
        client = self._sockets[0]
        try:
            server = await _connect(addresses)
            self._sockets.append(server)
            async with asyncio.TaskGroup() as group:
                for source, target, count in ((client, server, self._from_client), (server, client, self._from_server)):
                    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_IN_FLIGHT)
                    group.create_task(self._receive(source, line, count))
                    group.create_task(self._deliver(line, target, to_client=target is client))
        except* OSError:
            self.ends_with_reset = True

    async def hang(self) -> None:
        """Take what the client sends, and never answer."""
        self.is_silent = True
        while await self._read(self._sockets[0]):
            self.has_lost = True

    def finish(self) -> None:
        """Send FIN both ways, as an orderly close would; the link ends when both peers have closed too."""
        self.is_silent = self.has_lost = True
        for side in self._sockets:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close both sides."""
        for side in self._sockets:
            if self.ends_with_reset:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            side.close()
        self._witness.over()

    async def _receive(
        self, source: socket.socket, line: asyncio.Queue[tuple[float, bytes]], count: Callable[[int], None]
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            data = await self._read(source)
            count(len(data))
            await line.put((clock() + self._weather.latency, data))
            if not data:
                return

    async def _deliver(
        self, line: asyncio.Queue[tuple[float, bytes]], target: socket.socket, *, to_client: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await line.get()
            if (delay := due - loop.time()) > 0:
                await asyncio.sleep(delay)
            if self.is_silent:
                self.has_lost = True
            elif data:
                await loop.sock_sendall(target, data)
                if to_client:
                    self._witness.said(data)
            else:
                target.shutdown(socket.SHUT_WR)
            if not data:
                return

    async def _read(self, source: socket.socket) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(source, _CHUNK)
        except OSError:
            if self.is_silent:
                return b""
            raise

    def _from_client(self, size: int) -> None:
        starts_turn = self._awaits_turn and size > 0
        if starts_turn:
            self._awaits_turn = False
        self._weather.meter.add(turns=int(starts_turn), to_server=size)

    def _from_server(self, size: int) -> None:
        if size > 0:
            self._awaits_turn = True
        self._weather.meter.add(to_client=size)


async def _connect(addresses: Sequence[Address]) -> socket.socket:
    for family, address in addresses:
        server = socket.socket(family)
        server.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(server, address)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            server.close()
        except BaseException:
            server.close()
            raise
        else:
            return server
    raise ConnectionRefusedError("no address of the server takes connections")
