"""Other clients of the server, who do nothing but keep their connections."""

from __future__ import annotations

import socket
import struct

from poolkeeper.testing import EmbeddedPostgres

_PROTOCOL = 196_608  # 3.0
_READY = b"Z"
_PATIENCE = 20.0


class Crowd:
    """Connections to `server` that nobody uses. Only for a server that trusts who comes, as those of drills do."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._members: list[socket.socket] = []

    def take_all_but(self, left: int) -> None:
        """Take what the server has for ordinary users, but for so many. Raises OSError where it has not so many."""
        limit, reserved, used = self._server.query(
            "SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections'),"
            " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())"
        )[0]
        for _ in range(int(limit or 0) - int(reserved or 0) - int(used or 0) - left):
            self._members.append(self._join())

    def leave(self) -> None:
        """Close all of them."""
        for member in self._members:
            member.close()
        self._members.clear()

    close = leave

    def _join(self) -> socket.socket:
        user, database = self._server.credentials.user, self._server.credentials.database
        words = b"".join(f"{word}\0".encode() for word in ("user", user, "database", database)) + b"\0"
        member = socket.create_connection((self._server.host, self._server.port), timeout=_PATIENCE)
        try:
            member.sendall(struct.pack("!ii", 8 + len(words), _PROTOCOL) + words)
            _wait_until_ready(member)
        except BaseException:
            member.close()
            raise
        return member


def _wait_until_ready(member: socket.socket) -> None:
    """Read messages (a letter, a length that counts itself, the rest) until the server is ready for a query."""
    with member.makefile("rb") as messages:
        while head := messages.read(5):
            kind, length = struct.unpack("!ci", head)
            messages.read(length - 4)
            if kind == _READY:
                return
            if kind == b"E":
                break
    raise ConnectionRefusedError("the server takes no more connections")
