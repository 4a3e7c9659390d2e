"""What a pool is doing at one moment, and what it has done since it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from poolkeeper.model.histogram import Histogram
from poolkeeper.model.holder import Holder
from poolkeeper.model.pool_events import CloseReason
from poolkeeper.model.process import Pools, Threads
from poolkeeper.model.retries import Retries


@dataclass(frozen=True, slots=True)
class Totals:
    """What has happened since the pool was made.

    `requests` are calls for a connection; each is served, timed out, refused, cancelled, or failed with the error of a
    connect. `waited` are those that were not served at once. `connects` succeeded, `connect_failures` count by
    `poolkeeper.ConnectFailure`; `refusals` are those that were `refused`, by `RefusalReason`.
    """

    requests: int = 0
    waited: int = 0
    served: int = 0
    returned: int = 0
    timed_out: int = 0
    refused: int = 0
    cancelled: int = 0
    connects: int = 0
    connect_failures: Mapping[str, int] = field(default_factory=dict[str, int])
    refusals: Mapping[str, int] = field(default_factory=dict[str, int])

    def __add__(self, other: Totals) -> Self:
        """What has happened in two pools."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        return type(self)(
            **sums,
            connect_failures=_sum(self.connect_failures, other.connect_failures),
            refusals=_sum(self.refusals, other.refusals),
        )


_COUNTS = tuple(item.name for item in fields(Totals) if item.name not in ("connect_failures", "refusals"))


def _sum(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(some) + Counter(others))


@dataclass(frozen=True, slots=True)
class Timings:
    """How long things took, in seconds.

    Waits for a connection, and of those who had to wait what they spent in the queue and not on a connect (`queues`);
    connects; holds, and what of them was spent waiting for the database (`in_sql`) and between statements (`gaps`).
    """

    waits: Histogram = field(default_factory=Histogram)
    queues: Histogram = field(default_factory=Histogram)
    connects: Histogram = field(default_factory=Histogram)
    holds: Histogram = field(default_factory=Histogram)
    in_sql: Histogram = field(default_factory=Histogram)
    gaps: Histogram = field(default_factory=Histogram)

    def __add__(self, other: Timings) -> Self:
        """How long things took in two pools."""
        return type(self)(**{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)})


@dataclass(frozen=True, slots=True)
class LoopLag:
    """How late the event loop ran what was due, in seconds.

    `lags` counts every probe, `recent` is the worst of the last seconds, and `blocked_at` the line at which the loop's
    thread was found during the worst of those, if it was found at all. `late` counts the probes that were late by
    0.25 s or more without what the loop's thread had to wait for a CPU, as far as the system tells that.
    """

    lags: Histogram = field(default_factory=Histogram)
    recent: float = 0.0
    blocked_at: str | None = None
    late: int = 0


@dataclass(frozen=True, slots=True)
class ConnectTrouble:
    """Why connects fail now: the latest attempt failed. `message` is the driver's, without secrets.

    `kind` is a `poolkeeper.ConnectFailure`, `seconds` counts from the first failure in a row, `attempts` counts those.
    """

    kind: str
    message: str
    sqlstate: str | None = None
    seconds: float = 0.0
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Deadlocks:
    """How many statements the server ended to break a deadlock, since the pool was made.

    Of the latest: its shape, and the request and the line that ran it, as far as they are known.
    """

    count: int = 0
    statement: str | None = None
    route: str | None = None
    site: str | None = None

    def __add__(self, other: Deadlocks) -> Self:
        """Those of two pools."""
        latest = self if self.count else other
        return type(self)(self.count + other.count, latest.statement, latest.route, latest.site)


@dataclass(frozen=True, slots=True)
class NestedCheckouts:
    """Calls for a connection by who held another one of this pool, since the pool was made: how many waited for others,
    because it was full, and how many were refused, by `RefusalReason`.

    Of the latest: the holder, who asked for the other one at its `waits_at`, and `at`, the moment on the monotonic
    clock.
    """

    waited: int = 0
    refused: Mapping[str, int] = field(default_factory=dict[str, int])
    latest: Holder | None = None
    at: float = 0.0

    def __add__(self, other: NestedCheckouts) -> Self:
        """Those of two pools."""
        later = self if self.at > other.at else other
        return type(self)(self.waited + other.waited, _sum(self.refused, other.refused), later.latest, later.at)


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The numbers of one pool at one moment; `holders` has the longest first.

    `at` is the moment on the monotonic clock. `waiting` counts callers that asked and have no connection yet (the one
    that waits longest since `oldest_waiter` seconds), `connecting` the connections that are being opened, `checking`
    those whose ping or close is under way. `opened` and `closed` (by reason) count since the pool was made. `capacity`
    is None for a pool without a limit (NullPool). `threads` and `pools` are of the whole process, `retries` of the
    `Database` that the pool belongs to; None is not known. Of a replica's pool, `gets_reads` says whether it is in the
    rotation, and `replica_lag` how far it is behind (seconds); both are None for others.
    `unknown` names the fields that this pool cannot tell, as those of SQLAlchemy cannot tell what is waiting or
    connecting; such fields are zero or None. A part of `totals` or `timings` is named with a dot ("timings.waits").
    """

    name: str
    capacity: int | None
    in_use: int
    idle: int
    waiting: int
    connecting: int = 0
    checking: int = 0
    opened: int = 0
    closed: Mapping[CloseReason, int] = field(default_factory=dict[CloseReason, int])
    holders: tuple[Holder, ...] = field(default=(), repr=False)
    at: float = 0.0
    pool_size: int | None = None
    min_idle: int = 0
    pool_timeout: float | None = None
    pool_recycle: float | None = None
    oldest_waiter: float | None = None
    totals: Totals = field(default_factory=Totals, repr=False)
    timings: Timings = field(default_factory=Timings, repr=False)
    loop_lag: LoopLag | None = field(default=None, repr=False)
    connect_trouble: ConnectTrouble | None = None
    gets_reads: bool | None = None
    replica_lag: float | None = None
    retries: Retries | None = field(default=None, repr=False)
    deadlocks: Deadlocks = field(default_factory=Deadlocks, repr=False)
    nested: NestedCheckouts = field(default_factory=NestedCheckouts, repr=False)
    threads: Threads | None = field(default=None, repr=False)
    pools: Pools | None = field(default=None, repr=False)
    unknown: frozenset[str] = frozenset()

    @property
    def saturated(self) -> bool:
        """Every connection is in use and somebody waits."""
        return self.capacity is not None and self.in_use >= self.capacity and self.waiting > 0

    @property
    def open(self) -> int:
        """Connections that are open: in use, idle or being checked."""
        return self.in_use + self.idle + self.checking

    def as_dict(self) -> dict[str, object]:
        """The snapshot as plain values, for JSON."""
        return {**asdict(self), "unknown": sorted(self.unknown)}
