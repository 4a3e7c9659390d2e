"""What keeps each holder from giving its connection back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from poolkeeper.diagnosis.thresholds import LEAKED_AFTER, LONG_IN_SQL, LONG_STREAM, LOST_AFTER, OLD, OLD_LOCK_WAIT
from poolkeeper.diagnosis.view import View, is_busy
from poolkeeper.model import Holder, Phase, ServerSession

# MySQL's metadata locks are what relation locks are on PostgreSQL.
_TABLE_LOCKS = frozenset({"lock/relation", "lock/metadata"})
_COMMIT_WAITS = frozenset({"io/walsync", "lwlock/walwrite", "io/walwrite", "ipc/syncrep"})
_CLIENT_WRITE = "client/clientwrite"
# A pooler's queue shows where the server has run a statement for less than this share of the time we have waited.
_RUN_SHARE = 0.5


class Plight(StrEnum):
    """What a holder is in. UNKNOWN is neither seen in SQL nor in a gap, UNSEEN is in SQL, out of the server's view."""

    LEAKED = "leaked"
    NESTED = "nested"
    ROW_LOCK = "row lock"
    TABLE_LOCK = "table lock"
    COMMITTING = "committing"
    CLIENT_WRITE = "client write"
    QUEUED = "queued in the pooler"
    LOST = "lost"
    RUNNING = "running"
    UNSEEN = "unseen"
    STREAMING = "streaming"
    BACKGROUND = "background"
    CURSOR = "cursor"
    EARLY = "early"
    OUTSIDE = "outside"
    UNKNOWN = "unknown"


IN_SQL = frozenset(
    {
        Plight.ROW_LOCK,
        Plight.TABLE_LOCK,
        Plight.COMMITTING,
        Plight.CLIENT_WRITE,
        Plight.QUEUED,
        Plight.LOST,
        Plight.RUNNING,
        Plight.UNSEEN,
    }
)
_OLD = {
    Plight.LEAKED: LEAKED_AFTER,
    Plight.NESTED: 0.0,
    Plight.ROW_LOCK: OLD_LOCK_WAIT,
    Plight.TABLE_LOCK: OLD_LOCK_WAIT,
    Plight.LOST: LOST_AFTER,
}


@dataclass(frozen=True, slots=True)
class Held:
    """A holder, what it is in and for how long, and its session on the server, if that is seen."""

    holder: Holder
    plight: Plight
    seconds: float
    session: ServerSession | None = None

    @property
    def is_old(self) -> bool:
        """Whether it is out of the ordinary although nobody waits for its connection."""
        return self.seconds >= _OLD.get(self.plight, OLD)


def held_by(holder: Holder, view: View, *, tells_awaits: bool) -> Held:
    """What this holder is in; `tells_awaits` says that a task that awaits something would be seen to."""
    session = view.session(holder)
    seconds = holder.seconds if holder.state_seconds is None else holder.state_seconds
    plight = _plight(holder, session, seconds, view, tells_awaits=tells_awaits)
    if plight in (Plight.RUNNING, Plight.UNSEEN) and seconds < LONG_IN_SQL and _streams_for_long(holder):
        plight = Plight.STREAMING
    # A stream keeps its connection from the first part to the last, whatever it does in between.
    long_stream = plight is Plight.STREAMING and _streams_for_long(holder)
    return Held(holder, plight, holder.seconds if long_stream else seconds, session)


def _streams_for_long(holder: Holder) -> bool:
    return holder.phase is Phase.RESPONDING and holder.seconds >= LONG_STREAM


def _plight(holder: Holder, session: ServerSession | None, seconds: float, view: View, *, tells_awaits: bool) -> Plight:
    if holder.finished:
        return Plight.LEAKED
    if holder.waits_at is not None:
        return Plight.NESTED
    if holder.in_sql is None:
        return Plight.UNKNOWN
    if session is not None and is_busy(session) and _wait(session) in _COMMIT_WAITS:
        return Plight.COMMITTING
    if holder.in_sql:
        return _in_sql(holder, session, seconds, view)
    return _in_gap(holder, tells_awaits=tells_awaits)


def _wait(session: ServerSession) -> str:
    return (session.wait or "").lower()


def _in_sql(holder: Holder, session: ServerSession | None, seconds: float, view: View) -> Plight:
    if session is None:
        return _without_session(holder, seconds, view)
    if _wait(session) in _TABLE_LOCKS:
        return Plight.TABLE_LOCK
    if session.blocked_by or _wait(session).startswith("lock/"):
        return Plight.ROW_LOCK
    if _wait(session) == _CLIENT_WRITE and is_busy(session):
        return Plight.CLIENT_WRITE
    if view.behind_pooler:
        return Plight.QUEUED if _runs_too_briefly(session, seconds, view) else Plight.RUNNING
    if session.state is None:
        return Plight.UNSEEN
    return Plight.RUNNING if is_busy(session) else _although_idle(session, view.waited_at_the_look(seconds))


def _without_session(holder: Holder, seconds: float, view: View) -> Plight:
    if view.can_find(holder):
        return Plight.LOST if view.waited_at_the_look(seconds) >= LOST_AFTER else Plight.UNSEEN
    if view.behind_pooler and view.pooler_queue:
        return Plight.QUEUED
    return Plight.LOST if view.unanswered and seconds >= LOST_AFTER else Plight.UNSEEN


def _runs_too_briefly(session: ServerSession, seconds: float, view: View) -> bool:
    if session.state_seconds is None or session.state_seconds >= seconds * _RUN_SHARE:
        return False
    # Without the pooler's word: a statement that has run for a moment, and holders who wait for longer.
    return view.pooler is None or view.pooler_queue > 0


def _although_idle(session: ServerSession, waited: float) -> Plight:
    """The statement may have begun after the look, or its answer be on its way: both sides have to say the same for a
    while."""
    idle = waited if session.state_seconds is None else session.state_seconds
    return Plight.LOST if min(idle, waited) >= LOST_AFTER else Plight.UNSEEN


def _in_gap(holder: Holder, *, tells_awaits: bool) -> Plight:
    if holder.phase is Phase.RESPONDING:
        return Plight.STREAMING
    if holder.phase is Phase.RESPONDED:
        nobody_runs_it = tells_awaits and not holder.awaiting
        return Plight.LEAKED if nobody_runs_it else Plight.BACKGROUND
    if holder.streams:
        return Plight.CURSOR
    if holder.statements == 0 and not holder.in_transaction:
        return Plight.EARLY
    return Plight.OUTSIDE
