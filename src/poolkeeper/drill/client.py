"""An HTTP/1.1 client that costs little: a load generator that is busy itself measures itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import httptools

# A body is read to its end but kept only up to here: an export may be long.
_KEPT_BODY = 65_536


class ResponseCutOff(ConnectionError):  # noqa: N818 - says what happened, as errors.py does
    """The server closed the connection before the response was complete. `started` says if any of it had arrived."""

    def __init__(self, started: bool) -> None:
        super().__init__("the response was cut off" if started else "the connection was closed without a response")
        self.started = started


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response; `body` holds its first 64 KiB, `retry_after` says if it had that header."""

    status: int
    body: bytes
    retry_after: bool = False


class _Connection(asyncio.Protocol):
    """One connection; `on_lost` is told when it closes, in use or idle."""

    def __init__(self, on_lost: Callable[[_Connection], None]) -> None:
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None
        self._body = bytearray()
        self._started = False
        self._retry_after = False
        self.reusable = True
        self.idle_since = 0.0

    async def exchange(self, request: bytes) -> Response:
        if self._transport is None or self._transport.is_closing():
            raise ResponseCutOff(started=False)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes no other
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.reusable = False
        self._on_lost(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ResponseCutOff(self._started))

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002 - the parser's signature
        self._retry_after = self._retry_after or name.lower() == b"retry-after"

    def on_body(self, body: bytes) -> None:
        if len(self._body) < _KEPT_BODY:
            self._body += body[: _KEPT_BODY - len(self._body)]

    def on_message_complete(self) -> None:
        response = Response(self._parser.get_status_code(), bytes(self._body), self._retry_after)
        self.reusable = self.reusable and self._parser.should_keep_alive()
        # A parser is for one message: reusing it after an error would carry the error on.
        self._parser = httptools.HttpResponseParser(self)
        self._body.clear()
        self._started = self._retry_after = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)


class HttpClient:
    """Requests to one address over kept-alive connections; as many at once as callers ask for.

    At least `spread` connections are used in turn, so that the workers of a service get their share each. A connection
    that idled for `max_idle` seconds is not used again: servers close those (uvicorn after 5 s), and a request that
    meets the closing would count as an error of the service.
    """

    def __init__(self, host: str, port: int, *, spread: int = 16, max_idle: float = 2.0) -> None:
        self._host, self._port = host, port
        self._spread, self._max_idle = spread, max_idle
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        # Transports close in the loop's next turn.
        await asyncio.sleep(0)

    async def request(self, method: str, path: str, body: bytes = b"") -> Response:
        """The response, whatever its status.

        Raises OSError when no connection can be made and ResponseCutOff when it breaks. Nothing is sent twice. A
        cancelled request closes its connection.
        """
        connection = await self._connection()
        try:
            response = await connection.exchange(self._encode(method, path, body))
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return response

    def close(self) -> None:
        """Close all connections; requests under way fail with ResponseCutOff."""
        for connection in tuple(self._open):
            connection.close()

    def _encode(self, method: str, path: str, body: bytes) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        if body or method not in {"GET", "HEAD"}:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "\r\n"]).encode() + body

    async def _connection(self) -> _Connection:
        loop = asyncio.get_running_loop()
        while self._idle and (
            len(self._open) >= self._spread or self._idle[0].idle_since < loop.time() - self._max_idle
        ):
            connection = self._idle.popleft()
            if connection.idle_since >= loop.time() - self._max_idle:
                return connection
            connection.close()
        _, connection = await loop.create_connection(self._new_connection, self._host, self._port)
        return connection

    def _new_connection(self) -> _Connection:
        connection = _Connection(self._forget)
        self._open.add(connection)
        return connection

    def _give_back(self, connection: _Connection) -> None:
        if connection.reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()

    def _forget(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
