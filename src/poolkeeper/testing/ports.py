"""Loopback ports that the operating system chose and nobody else can take."""

from __future__ import annotations

import socket
import sys

LOOPBACK = "127.0.0.1"


class ReservedPort:
    """A free loopback port that stays ours, also while no server listens on it.

    A socket stays bound to the port without listening: clients are refused, a server that sets SO_REUSEADDR
    (PostgreSQL, MariaDB, PgBouncer, `FaultProxy`) may listen on it, and Linux gives it to no other program and to no
    outgoing connection. Without that a client that reconnects in a loop while its server is down can be given the
    server's port as its own. Other systems refuse the second bind: there the port is only chosen, not held.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, 0))
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self._socket.close()

    def close(self) -> None:
        """Give the port back. Safe to call twice."""
        self._socket.close()
