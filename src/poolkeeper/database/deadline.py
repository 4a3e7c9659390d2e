"""A deadline for everything that a task does, kept also where the database has fallen silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from poolkeeper.engine import commit_was_sent
from poolkeeper.errors import CommitUnknown

CutOff = Callable[[asyncio.Task[Any], float], bool]

# What is cut off fails in one turn of the loop; a task that goes on in spite of it is cancelled after this (seconds).
_GRACE = 0.05


@asynccontextmanager
async def within(
    seconds: float | None, cut_off: CutOff, doubt: Callable[[], CommitUnknown | None]
) -> AsyncGenerator[None]:
    """Raise `TimeoutError` where the block has not ended after so many seconds; None waits for ever.

    `cut_off` ends what the task awaits of the database: to cancel that would wait for an answer of a silent server.
    Where the answer to a COMMIT is cut off, or `doubt` tells of one that was lost before, it is `CommitUnknown`.
    A cancellation by somebody else is raised as it came.
    """
    if seconds is None:
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in one
    has_passed = False

    def end() -> None:
        nonlocal has_passed
        has_passed = True
        cut = cut_off(task, seconds)
        scope.reschedule(loop.time() + (_GRACE if cut else 0.0))

    alarm = loop.call_later(seconds, end)
    try:
        async with asyncio.timeout(None) as scope:
            yield
    except Exception as error:
        if not has_passed or isinstance(error, CommitUnknown):
            raise
        if (lost := doubt()) is not None:
            raise lost from lost.__cause__
        if commit_was_sent(error):
            raise CommitUnknown(error) from error
        raise TimeoutError(f"the transaction was not through within its deadline of {seconds:g} s") from error
    finally:
        alarm.cancel()
