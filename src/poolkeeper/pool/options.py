"""What a KeeperPool was told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exc

from poolkeeper.model import PoolObserver
from poolkeeper.policy import Limits

# A connect may take longer than a caller waits: it goes on in the background, and serves the next one.
SHORTEST_CONNECT_LIMIT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of a KeeperPool; `KeeperPool` says what each one means. All times are seconds."""

    limits: Limits
    timeout: float
    use_lifo: bool
    max_idle: float | None
    max_waiting: int | None
    client_timeout: float | None
    recycle: float
    recycle_jitter: float
    pre_ping: bool
    ping_after: float
    ping_timeout: float
    keepalive: float | None
    connect_grace: float
    overflow_linger: float
    observer: PoolObserver | None

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise exc.ArgumentError("KeeperPool: " + "; ".join(problems))

    @property
    def connect_limit(self) -> float:
        """How long one attempt to connect may take."""
        return max(self.timeout, SHORTEST_CONNECT_LIMIT)

    @property
    def replaced_within(self) -> float:
        """The span of ages, before `recycle`, over which connections are replaced."""
        return self.recycle * self.recycle_jitter if self.recycle >= 0 else math.inf


def _problems(options: Options) -> list[str]:
    limits = options.limits
    at_least_zero: dict[str, object] = {
        "pool_size": limits.pool_size,
        "min_idle": limits.min_idle,
        "timeout": options.timeout,
        "ping_after": options.ping_after,
        "connect_grace": options.connect_grace,
        "overflow_linger": options.overflow_linger,
        "max_idle": options.max_idle,
        "max_waiting": options.max_waiting,
    }
    above_zero: dict[str, object] = {
        "connects_at_once": limits.connects_at_once,
        "ping_timeout": options.ping_timeout,
        "keepalive": options.keepalive,
        "client_timeout": options.client_timeout,
    }
    any_number: dict[str, object] = {
        "max_overflow": limits.max_overflow,
        "recycle": options.recycle,
        "recycle_jitter": options.recycle_jitter,
    }
    found = [
        f"{name} is {value!r}, a number is needed"
        for name, value in (at_least_zero | above_zero | any_number).items()
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)))
    ]
    return found or [*_out_of_bounds(at_least_zero, above_zero), *_contradictions(options)]


def _out_of_bounds(at_least_zero: dict[str, Any], above_zero: dict[str, Any]) -> Iterator[str]:
    for name, value in at_least_zero.items():
        if value is not None and value < 0:
            yield f"{name} is {value}, it must be at least 0"
    for name, value in above_zero.items():
        if value is not None and value <= 0:
            yield f"{name} is {value}, it must be above 0"


def _contradictions(options: Options) -> Iterator[str]:
    limits = options.limits
    if not 0 <= options.recycle_jitter < 1:
        yield f"recycle_jitter is {options.recycle_jitter}, it is a share: at least 0, and below 1"
    if 0 < limits.pool_size < limits.min_idle:
        yield f"min_idle is {limits.min_idle}, more than pool_size {limits.pool_size} can keep"
