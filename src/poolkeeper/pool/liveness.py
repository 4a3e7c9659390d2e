"""Is this connection alive? A look costs about a microsecond and no round trip; a ping is for what it cannot tell."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

from poolkeeper.model import CloseReason
from poolkeeper.policy import Verdict
from poolkeeper.pool.record import KeeperRecord, Poll

# A connection that was just opened is for whoever waits for it, however short a life `recycle` gives it.
_JUST_OPENED = 1.0


def look(record: KeeperRecord) -> Verdict:
    """Whether an idle connection may be handed out. No I/O; notes on the record when, or why not."""
    home = record.home
    verdict = look_at(home.is_closed, record.raw, record.look_at_socket)
    now = time.monotonic()
    if verdict is Verdict.GOOD and now < record.usable_until and now - record.heard < home.ping_after:
        record.taken = now
        return verdict
    return _closer_look(record, verdict, now)


def _closer_look(record: KeeperRecord, verdict: Verdict, now: float) -> Verdict:
    is_new = record.taken == record.born and now - record.born < _JUST_OPENED
    if record.retired is not None or (now >= record.expires and not is_new):
        record.reason = record.retired or CloseReason.LIFETIME
        return Verdict.GONE
    if verdict is Verdict.GONE:
        record.reason = CloseReason.SOCKET
        return verdict
    record.taken = now
    return Verdict.ASK if now - record.heard >= record.home.ping_after else verdict


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
