"""Letting go of connections whose event loop is gone, or which belong to the process that this one was forked from.

Their drivers' own ways to close need the loop, or say goodbye to the server in the name of the other process. What is
left is the socket itself. None of this waits, sends or raises.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from poolkeeper.drivers.sockets import shut_down


def release(descriptor: int | None, *, keep_session: bool) -> None:
    """End the server's session, or leave it to the other process that has this socket."""
    if not keep_session:
        shut_down(descriptor)
    elif descriptor is not None:
        _divert(descriptor)


def forsake(transport: Any) -> None:
    """Close the socket of an asyncio transport behind its back, and keep it from complaining that nobody closed it.

    uvloop closes the sockets of its transports when a loop is closed, so there is nothing to do for those.
    """
    while transport is not None:
        with contextlib.suppress(Exception):
            transport.abort()
        with contextlib.suppress(Exception):
            if (sock := getattr(transport, "_sock", None)) is not None:
                sock.close()
                transport._sock = None
        for flag in ("_closing", "_closed"):
            with contextlib.suppress(Exception):
                if hasattr(transport, flag):
                    setattr(transport, flag, True)
        # Below TLS there is another one.
        transport = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)


def _divert(descriptor: int) -> None:
    """Let a descriptor lead nowhere. Whatever is written to it, or closes it, no longer reaches the shared socket."""
    with contextlib.suppress(OSError):
        near, far = socket.socketpair()
        with near, far:
            os.dup2(near.fileno(), descriptor, inheritable=False)
