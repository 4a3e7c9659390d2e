"""Is a connection alive, as far as its driver and its socket know? About a microsecond, and no round trip."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from poolkeeper.policy import Verdict

Poll = Callable[[int], list[tuple[int, int]]]


def poll_of(descriptor: int | None) -> Poll | None:
    """What asks for news of this socket; None without one, or where the platform has no poll()."""
    if descriptor is None or not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | getattr(select, "POLLRDHUP", 0))
    return poll.poll


def look_at(is_closed: Callable[[Any], bool], raw: Any, look_at_socket: Poll | None) -> Verdict:
    """What the driver's flag and the socket say.

    Something to read is no proof: a server sends notices, TLS session tickets and LISTEN's messages unasked. The end
    of the stream is one.
    """
    if is_closed(raw):
        return Verdict.GONE
    if look_at_socket is None:
        return Verdict.GOOD
    events = look_at_socket(0)
    if not events:
        return Verdict.GOOD
    return Verdict.ASK if events[0][1] == select.POLLIN else Verdict.GONE
