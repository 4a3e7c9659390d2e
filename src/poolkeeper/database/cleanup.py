"""Cleanup that a cancellation cannot interrupt halfway."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from anyio import CancelScope

T = TypeVar("T")


async def to_completion(cleanup: Coroutine[Any, Any, T]) -> T:
    """Run `cleanup` to its end in a task of its own, whatever happens to the caller meanwhile.

    A cancellation that arrives in between is raised once the cleanup is over, so that nobody goes on while a rollback
    is still under way. What the cleanup raises comes first.
    """
    task = asyncio.ensure_future(cleanup)
    cancelled: asyncio.CancelledError | None = None
    # A cancelled anyio scope cancels again in every turn of the loop; the shield keeps this wait from spinning.
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as error:
                cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
