"""Whether anybody is going to return a connection, as far as the tasks that hold them tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolkeeper.pool.home import Home
    from poolkeeper.pool.record import KeeperRecord


def held_by(home: Home, task: asyncio.Task[Any] | None) -> KeeperRecord | None:
    """A connection that this task took and has not returned; None if there is none."""
    return None if task is None else next((record for record in _held(home) if record.holder is task), None)


def would_deadlock(home: Home, task: asyncio.Task[Any] | None) -> bool:
    """Whether each connection is held by a task that waits here for another one, once this task waits too.

    Never where a task holds several: it may have handed them on to others, who return them.
    """
    if len(home.queue.waiting) < home.queue.in_use - 1:
        return False
    holders = [record.holder for record in _held(home)]
    if not _is_full(home, len(holders)) or len(set(holders)) < len(holders):
        return False
    return set(holders) <= {*_waiting(home), task}


def is_leaked(home: Home, now: float, at_least: float) -> bool:
    """Whether each connection was taken so many seconds ago or more, by a task that has ended or waits for another.

    One that has ended may have handed its connection on. Hence the time.
    """
    count, waiting = 0, None
    for record in _held(home):
        if now - record.taken < at_least:
            return False
        if record.holder is not None and not record.holder.done():
            waiting = _waiting(home) if waiting is None else waiting
            if record.holder not in waiting:
                return False
        count += 1
    return _is_full(home, count)


def _held(home: Home) -> Iterator[KeeperRecord]:
    return (record for host in home.hosts.values() for record in host.records if record.holder is not None)


def _waiting(home: Home) -> set[asyncio.Task[Any] | None]:
    return {waiter.task for waiter in home.queue.waiting}


def _is_full(home: Home, held: int) -> bool:
    """Whether these are all the connections that the pool may have."""
    capacity = home.queue.limits.capacity
    return capacity is not None and held >= capacity and held == home.queue.in_use
