"""A session that is over answers every call with advice."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from poolkeeper.errors import SessionReleased

ADVICE = (
    "This session ended with {owner}; its connection is back in the pool and belongs to somebody else. A background "
    "task, a stream or a websocket opens its own: `{call}`. Hand it ids, not ORM objects."
)

# Closing twice is harmless, and `info` and the like are read by debuggers and loggers.
_STILL_ALLOWED = frozenset({"close", "close_all", "info", "sync_session", "bind", "hash_key"})


class _Released:
    """Takes the place of a session's class once it is over."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name in _STILL_ALLOWED:
            return super().__getattribute__(name)
        raise SessionReleased(super().__getattribute__("info").get("poolkeeper.advice", ADVICE))


def release(session: AsyncSession | Session, owner: str) -> None:
    """Make every further use of a closed session raise `SessionReleased`.

    SQLAlchemy would silently check out another connection, and nobody would return that one.
    """
    is_async = isinstance(session, AsyncSession)
    call = "async with db.session() as session" if is_async else "with db.sync_session() as session"
    session.info["poolkeeper.advice"] = ADVICE.format(owner=owner, call=call)
    session_class: Any = type(session)
    session.__class__ = _released(session_class)


@cache
def _released(session_class: type[Any]) -> type[Any]:
    return type(f"Released{session_class.__name__}", (session_class, _Released), {"__slots__": ()})
