"""The numbers of several pools as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import reduce
from operator import add

from poolkeeper.model import CloseReason, PoolSnapshot


def together(pools: list[PoolSnapshot]) -> PoolSnapshot:
    """Several pools of one database as one."""
    if len(pools) == 1:
        return pools[0]
    first = pools[0]
    troubles = [pool.connect_trouble for pool in pools if pool.connect_trouble is not None]
    return PoolSnapshot(
        name=first.name,
        capacity=sum_of_limits(pool.capacity for pool in pools),
        in_use=sum(pool.in_use for pool in pools),
        idle=sum(pool.idle for pool in pools),
        waiting=sum(pool.waiting for pool in pools),
        connecting=sum(pool.connecting for pool in pools),
        checking=sum(pool.checking for pool in pools),
        opened=sum(pool.opened for pool in pools),
        closed=dict(sum((Counter(pool.closed) for pool in pools), Counter[CloseReason]())),
        holders=tuple(sorted((held for pool in pools for held in pool.holders), key=lambda held: -held.seconds)),
        at=first.at,
        pool_size=sum_of_limits(pool.pool_size for pool in pools),
        min_idle=sum(pool.min_idle for pool in pools),
        pool_timeout=first.pool_timeout,
        pool_recycle=first.pool_recycle,
        oldest_waiter=max((pool.oldest_waiter for pool in pools if pool.oldest_waiter is not None), default=None),
        totals=reduce(add, (pool.totals for pool in pools)),
        timings=reduce(add, (pool.timings for pool in pools)),
        loop_lag=first.loop_lag,
        deadlocks=reduce(add, (pool.deadlocks for pool in pools)),
        nested=reduce(add, (pool.nested for pool in pools)),
        threads=first.threads,
        pools=first.pools,
        connect_trouble=max(troubles, key=lambda trouble: trouble.seconds, default=None),
        unknown=frozenset[str]().union(*(pool.unknown for pool in pools)),
    )


def sum_of_limits(limits: Iterable[int | None]) -> int | None:
    """The sum; None where one of them has no limit."""
    known = list(limits)
    numbers = [limit for limit in known if limit is not None]
    return sum(numbers) if len(numbers) == len(known) else None
