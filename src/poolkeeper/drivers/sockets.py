"""What drivers have in common below their protocol: a TCP socket."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass

_PROBES = 3
_MAX_PROBE_INTERVAL = 30.0
_TCP_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When a silent peer is given up: after `idle` seconds the kernel asks, `probes` times, `interval` seconds apart.

    Data that stays unacknowledged for `interval * probes` seconds counts as unanswered too. Without that, a statement
    sent into a silent drop would hang for about 15 minutes of retransmissions on Linux (tcp(7), tcp_retries2).
    """

    idle: int
    interval: int
    probes: int = _PROBES

    @property
    def unanswered(self) -> int:
        """Seconds without any answer after which the peer counts as gone."""
        return self.interval * self.probes


def keepalive_after(idle: float) -> Keepalive:
    """Probes in whole seconds: the first after `idle`, the next every tenth of that, 30 s at most."""
    return Keepalive(max(1, round(idle)), max(1, round(min(_MAX_PROBE_INTERVAL, idle / 10))))


def keep_alive(fd: int | None, idle: float | None) -> None:
    """Set keepalive on a TCP socket that a driver owns. Other sockets, and options a platform lacks, are left alone."""
    if fd is None or idle is None:
        return
    keepalive = keepalive_after(idle)
    wanted = {
        "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE": keepalive.idle,
        "TCP_KEEPINTVL": keepalive.interval,
        "TCP_KEEPCNT": keepalive.probes,
        "TCP_USER_TIMEOUT": keepalive.unanswered * 1000,
    }
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as ours:
        if ours.family not in _TCP_FAMILIES:
            return
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in wanted.items():
            if (option := getattr(socket, name, None)) is not None:
                ours.setsockopt(socket.IPPROTO_TCP, option, value)


def shut_down(fd: int | None) -> None:
    """End both directions of a socket. Its owner then reads end-of-file, and closes the descriptor itself.

    Closing it here would let the kernel give the number to somebody else while the owner still polls it.
    """
    if fd is None:
        return
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as ours:
        ours.shutdown(socket.SHUT_RDWR)
