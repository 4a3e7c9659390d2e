"""How findings put things."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from poolkeeper.model import Holder, ServerSession

SEEN_LENGTH = 200
_STATEMENT_LENGTH = 80
_NAME_LENGTH = 70


def cut(text: str, length: int = SEEN_LENGTH) -> str:
    """The text on one line, of at most this length."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def fit(*texts: str) -> str:
    """The first that is short enough to be seen at a glance, or else the last, cut."""
    return next((text for text in texts if len(cut(text, len(text) + 1)) <= SEEN_LENGTH), cut(texts[-1]))


def duration(seconds: float | None) -> str:
    """Seconds, as exact as anybody wants to know them."""
    if seconds is None:
        return "?"
    if abs(seconds) < 0.1:
        return f"{seconds * 1000:.2g} ms"
    return f"{seconds:.1f} s" if abs(seconds) < 10 else f"{min(seconds, 1e9):.0f} s"


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def statement(shape: str | None) -> str:
    return cut(shape, _STATEMENT_LENGTH) if shape else "an unknown statement"


def name_of(holder: Holder) -> str:
    """The route, or else the task."""
    return cut(holder.route or f"task {holder.task}", _NAME_LENGTH)


def place_of(holder: Holder) -> str:
    """The route, or else the task, and where it checked out."""
    return f"{name_of(holder)} at {cut(holder.site, _NAME_LENGTH)}" if holder.site else name_of(holder)


def awaited_by(holder: Holder) -> str | None:
    """The last call of the service's own code on the way to what the task awaits, and what it calls.

    Code is taken for the service's own that lies in the folder of the call site, or where the chain begins.
    """
    chain = holder.awaiting
    if not chain:
        return None
    own = {_folder_of(chain[0])} | ({_folder_of(holder.site)} if holder.site else set[str]())
    last = max(index for index, call in enumerate(chain) if _folder_of(call) in own)
    called = f" ({cut(chain[last + 1], _NAME_LENGTH)})" if last + 1 < len(chain) else ""
    return cut(chain[last], _NAME_LENGTH) + called


def without_called(call: str) -> str:
    """The line alone."""
    return call.partition(" (")[0]


def _folder_of(call: str) -> str:
    return call.partition(":")[0].rpartition("/")[0]


def commonest(values: Iterable[str | None]) -> str | None:
    """The value that occurs most often, of several the first; None is not a value."""
    counted = Counter(value for value in values if value)
    return counted.most_common(1)[0][0] if counted else None


def owner_of(session: ServerSession) -> str:
    """Whose session this is, in words."""
    parts = [f'"{session.application}"' if session.application else "", f"user {session.user}" if session.user else ""]
    told = ", ".join(part for part in (*parts, session.client or "") if part)
    return cut(f"session {session.id} ({told})" if told else f"session {session.id}", _NAME_LENGTH)


def state_of(session: ServerSession) -> str:
    """What the server says that the session is doing, in words."""
    if session.state is None:
        return "doing what we may not see"
    seconds = session.transaction_seconds if session.in_transaction else session.state_seconds
    return session.state if seconds is None else f"{session.state} for {duration(seconds)}"
