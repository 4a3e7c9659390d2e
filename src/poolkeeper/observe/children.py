"""What completes a future that nobody runs: the tasks behind `gather`, `shield`, `wait`, `wait_for` and task groups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any, cast

_SHIELD = "shield.<locals>._outer_done_callback"
_LIBRARIES = ("asyncio.", "anyio._backends.")
# Which of a library's functions wait for a future of their own making, and where they keep what it depends on.
_LOCALS = {"wait_for": "fut", "_wait": "fs"}
_OF_TASK_GROUPS = frozenset({"__aexit__", "_aexit"})


def child_of(future: object, frame: FrameType | None) -> object:
    """The first of what this future waits for that is not done; `frame` is the one that awaits it.

    None where it is on its own, as one that a timer or a socket completes. Never raises: none of this is documented.
    """
    with suppress(Exception):
        for child in (*_gathered(future), *_shielded(future), *_waited_for(frame)):
            if isinstance(child, asyncio.Future) and child is not future and not child.done():
                return cast("object", child)
    return None


def _gathered(future: Any) -> Iterable[object]:
    return cast("Iterable[object]", getattr(future, "_children", ()))


def _shielded(future: Any) -> Iterator[object]:
    for callback, *_ in getattr(future, "_callbacks", None) or ():
        if getattr(callback, "__qualname__", "") == _SHIELD:
            names = callback.__code__.co_freevars
            yield callback.__closure__[names.index("inner")].cell_contents


def _waited_for(frame: FrameType | None) -> Iterable[object]:
    if frame is None or not str(frame.f_globals.get("__name__")).startswith(_LIBRARIES):
        return ()
    name, known = frame.f_code.co_name, frame.f_locals
    if name in _OF_TASK_GROUPS:
        return tuple(getattr(known.get("self"), "_tasks", ()))
    found: object = known.get(_LOCALS.get(name, ""), ())
    return cast("Iterable[object]", found) if isinstance(found, list | set | tuple) else (found,)
