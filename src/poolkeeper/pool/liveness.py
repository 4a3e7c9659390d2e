"""May this connection be handed out? A ping is for what the look at its socket, its age and its silence leave open."""

from __future__ import annotations

import time

from poolkeeper.model import CloseReason
from poolkeeper.policy import Verdict
from poolkeeper.pool.record import KeeperRecord
from poolkeeper.pool.sockets import look_at

# A connection that was just opened is for whoever waits for it, however short a life `recycle` gives it.
_JUST_OPENED = 1.0


def look(record: KeeperRecord) -> Verdict:
    """Whether an idle connection may be handed out. No I/O; notes on the record when, or why not."""
    home = record.home
    verdict = look_at(home.is_closed, record.raw, record.look_at_socket)
    now = time.monotonic()
    if verdict is Verdict.GOOD and now < record.usable_until and now - record.heard < record.ping_after:
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
    return Verdict.ASK if now - record.heard >= record.ping_after else verdict
