"""What a task awaits, from the outside in, and where a thread is: worked out when somebody asks."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

from greenlet import greenlet  # type: ignore[import-untyped]
from sqlalchemy.util.concurrency import greenlet_spawn

from poolkeeper.observe.children import child_of
from poolkeeper.observe.sites import Site, described, frames_of, is_library

# A chain is as deep as the calls of an app; a ring of tasks that await each other has no end.
_DEEPEST = 200
_SPAWN = getattr(greenlet_spawn, "__code__", None)
_TELLING = (CoroutineType, GeneratorType, AsyncGeneratorType, asyncio.Task)
# Coroutines, generators and asynchronous generators, compiled ones too: what they run, and what they wait for.
_NAMES = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def awaiting(who: asyncio.Task[Any] | threading.Thread | None) -> tuple[str, ...]:
    """The calls that this task or thread is in, as in "orders/shop.py:42 in place_order", the outermost first.

    What lies above the service's own code (a server, a framework) is left out. Where a task waits for several others,
    the chain goes on in the first that is not done. Nothing for whoever asks itself.
    """
    sites = sites_of(who)
    first = next((index for index, (code, _) in enumerate(sites) if not is_library(code)), 0)
    return tuple(described(site) for site in sites[first:])


def innermost_site(who: asyncio.Task[Any] | threading.Thread | None) -> str | None:
    """The service's own line that this task or thread is at."""
    own = [site for site in sites_of(who) if not is_library(site[0])]
    return described(own[-1]) if own else None


def sites_of(who: asyncio.Task[Any] | threading.Thread | None) -> list[Site]:
    """The same chain, whole."""
    if isinstance(who, threading.Thread):
        return [] if who is threading.current_thread() else _sites_of_thread(who.ident)
    return [] if who is None else [_site(frame) for frame in _frames_of_task(who)]


def _sites_of_thread(ident: int | None) -> list[Site]:
    # Nobody documents what an underscore means here; debuggers and faulthandlers are built on it.
    frame = sys._current_frames().get(ident) if ident is not None else None
    return [_site(each) for each in frames_of(frame)][::-1]


def _site(frame: FrameType) -> Site:
    return frame.f_code, frame.f_lasti


def _frames_of_task(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    link: Any = task
    frame: FrameType | None = None
    seen: set[int] = set()
    for _ in range(_DEEPEST):
        link = _coroutine_of(link)
        if link is None or id(link) in seen or _is_running(link):
            return
        seen.add(id(link))
        names = next((names for names in _NAMES if hasattr(link, names[1])), None)
        if names is None:
            link = _inside(link, frame)
            continue
        frame = getattr(link, names[0])
        if frame is not None:
            yield frame
            if frame.f_code is _SPAWN:
                yield from _frames_in_greenlet(frame)
        link = getattr(link, names[1])


def _is_running(link: Any) -> bool:
    # An asynchronous generator calls itself running while it awaits.
    return any(getattr(link, name, False) for name in ("cr_running", "gi_running"))


def _coroutine_of(link: Any) -> Any:
    return link.get_coro() if hasattr(link, "get_coro") else link


def _inside(link: Any, frame: FrameType | None) -> Any:
    """What an awaitable that tells nothing stands for: the step of a generator, a task, a future's children.

    `frame` is the one that awaits it.
    """
    if _is_future(link):
        return child_of(link, frame)
    inside: list[Any] = gc.get_referents(link)
    found: list[Any] = [each for each in inside if isinstance(each, _TELLING)]
    return next(iter(found or filter(_is_future, inside)), None)


def _is_future(link: object) -> bool:
    return isinstance(link, asyncio.Future)


def _frames_in_greenlet(spawn: FrameType) -> Iterator[FrameType]:
    """The synchronous calls between `greenlet_spawn` and what it awaits, the outermost first."""
    context: object = spawn.f_locals.get("context")
    if isinstance(context, greenlet):
        yield from reversed(list(frames_of(context.gr_frame)))
