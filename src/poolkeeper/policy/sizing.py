"""The rules of thumb for a pool's numbers. Settings are checked against them, plans are made with them."""

from __future__ import annotations

import math

# The range of pool_size for one process: fewer connections let a short burst queue, more rarely make a database faster,
# which has only so many cores.
SMALLEST_POOL, LARGEST_POOL = 5, 20
# What a server keeps free for deployments (two generations at once), migrations and people.
HEADROOM = 0.2
# The range of pool_timeout (seconds): shorter fails on a short burst, longer keeps callers waiting who have given up.
SHORTEST_WAIT, LONGEST_WAIT = 10, 30
# Connections are replaced at this share of the age at which something on the path cuts them.
LIFE_SHARE = 0.75


def connections(processes: int, each: int) -> int:
    """What so many processes have open when all of their pools are full."""
    return processes * each


def kept_free(usable: int, share: float = HEADROOM) -> int:
    """How many of the connections that ordinary roles may use are nobody's to plan with, rounded up."""
    # A product with a share such as 0.2 is a hair more than the whole number that is meant.
    return math.ceil(round(usable * share, 9))


def connections_for_each(available: int, processes: int) -> int:
    """The largest pool, overflow included, with which all processes together stay within so many connections; 0 where
    there is none."""
    return max(0, available // processes)


def overflow_is_usual(pool_size: int, max_overflow: int) -> bool:
    """Whether overflow is none, or between half of the pool and all of it: less is no relief, more a larger pool."""
    return max_overflow == 0 or pool_size <= 2 * max_overflow <= 2 * pool_size


def wait_within(client_timeout: float, hold: float) -> float:
    """The longest wait (seconds) for a connection after which the caller still gets its answer; 0 or less for none."""
    return client_timeout - hold
