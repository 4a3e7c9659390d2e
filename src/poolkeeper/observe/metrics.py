"""Which numbers of pools are exported: names, units, and where in a snapshot they stand. Prometheus and OpenTelemetry
read the same list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from poolkeeper.errors import ConnectFailure
from poolkeeper.model import CloseReason, Histogram, PoolSnapshot, RefusalReason, RetryReason

Source = Callable[[], PoolSnapshot]

# The database client metrics of OpenTelemetry's semantic conventions.
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
POOL_NAME = "db.client.connection.pool.name"
STATE = "db.client.connection.state"
WAIT_TIME = "db.client.connection.wait_time"
CREATE_TIME = "db.client.connection.create_time"
USE_TIME = "db.client.connection.use_time"
_REASON = "reason"
_CONNECTIONS, _REQUESTS = "{connection}", "{request}"


@dataclass(frozen=True, slots=True)
class Number:
    """A number of each pool. `read` gives it, or one for each value of the attribute `by`; None leaves it out.

    `known_by` is the part of a snapshot that has to be known for it. A number that `grows` counts what has happened.
    Of others, those of pools with the same name, here or in other processes, are added up, or the `largest` is taken.
    """

    name: str
    unit: str
    description: str
    known_by: str
    read: Callable[[PoolSnapshot], float | Mapping[str, float] | None]
    by: str = ""
    grows: bool = False
    largest: bool = False

    def values(self, snapshot: PoolSnapshot) -> Iterator[tuple[dict[str, str], float]]:
        """The numbers that are known, with their attributes."""
        found = None if self.known_by in snapshot.unknown else self.read(snapshot)
        if isinstance(found, Mapping):
            yield from (({POOL_NAME: snapshot.name, self.by: key}, value) for key, value in found.items())
        elif found is not None:
            yield {POOL_NAME: snapshot.name}, found


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took, in seconds, as a histogram of each pool."""

    name: str
    description: str
    known_by: str
    read: Callable[[PoolSnapshot], Histogram]

    def values(self, snapshot: PoolSnapshot) -> Iterator[tuple[dict[str, str], Histogram]]:
        """The histogram, if it is known."""
        if self.known_by not in snapshot.unknown:
            yield {POOL_NAME: snapshot.name}, self.read(snapshot)


def _states(snapshot: PoolSnapshot) -> Mapping[str, float]:
    return {"idle": snapshot.idle, "used": snapshot.in_use}


def _connect_failures(snapshot: PoolSnapshot) -> Mapping[str, float]:
    return _each(ConnectFailure, snapshot.totals.connect_failures)


def _closed(snapshot: PoolSnapshot) -> Mapping[str, float]:
    return _each(CloseReason, {reason.value: count for reason, count in snapshot.closed.items()})


def _retried(snapshot: PoolSnapshot) -> Mapping[str, float] | None:
    return None if snapshot.retries is None else _each(RetryReason, snapshot.retries.retried)


def _each(known: Iterable[str], counts: Mapping[str, int]) -> Mapping[str, float]:
    """A count of each, also of what has not happened: a series that appears with its first event hides it."""
    return {str(reason): counts.get(str(reason), 0) for reason in known}


def _oldest_holder(snapshot: PoolSnapshot) -> float:
    return max((holder.seconds for holder in snapshot.holders), default=0.0)


def _trouble(snapshot: PoolSnapshot) -> float:
    return snapshot.connect_trouble.seconds if snapshot.connect_trouble else 0.0


_STANDARD = (
    Number(
        "db.client.connection.count",
        _CONNECTIONS,
        "Connections that are open, by state.",
        "in_use",
        _states,
        by=STATE,
    ),
    Number(
        "db.client.connection.max",
        _CONNECTIONS,
        "How many connections the pool may have; left out where there is no limit.",
        "capacity",
        lambda pool: pool.capacity,
    ),
    Number(
        "db.client.connection.idle.min",
        _CONNECTIONS,
        "How many connections the pool keeps open when nobody needs them.",
        "min_idle",
        lambda pool: pool.min_idle,
    ),
    Number(
        "db.client.connection.pending_requests",
        _REQUESTS,
        "Callers that wait for a connection.",
        "waiting",
        lambda pool: pool.waiting,
    ),
    Number(
        "db.client.connection.timeouts",
        "{timeout}",
        "Callers that got no connection within pool_timeout.",
        "totals.timed_out",
        lambda pool: pool.totals.timed_out,
        grows=True,
    ),
)

_OWN = (
    Number(
        "poolkeeper.pool_size",
        _CONNECTIONS,
        "How many connections the pool may keep; more of them are overflow.",
        "pool_size",
        lambda pool: pool.pool_size,
    ),
    Number(
        "poolkeeper.connecting",
        _CONNECTIONS,
        "Connections that are being opened.",
        "connecting",
        lambda pool: pool.connecting,
    ),
    Number(
        "poolkeeper.pool_timeout",
        "s",
        "How long a caller waits at most.",
        "pool_timeout",
        lambda pool: pool.pool_timeout,
        largest=True,
    ),
    Number(
        "poolkeeper.oldest_holder",
        "s",
        "For how long the longest checkout has been held; 0 without any.",
        "holders",
        _oldest_holder,
        largest=True,
    ),
    Number(
        "poolkeeper.oldest_waiter",
        "s",
        "For how long the first in the queue has been waiting; 0 without any.",
        "oldest_waiter",
        lambda pool: pool.oldest_waiter or 0.0,
        largest=True,
    ),
    Number(
        "poolkeeper.leaked_holders",
        _CONNECTIONS,
        "Connections whose holder's task has ended without giving them back.",
        "holders",
        lambda pool: sum(holder.finished for holder in pool.holders),
    ),
    Number(
        "poolkeeper.nested_holders",
        _CONNECTIONS,
        "Connections whose holder waits for another one of the same pool.",
        "holders",
        lambda pool: sum(holder.waits_at is not None for holder in pool.holders),
    ),
    Number(
        "poolkeeper.connect_trouble",
        "s",
        "For how long every attempt to connect has been failing; 0 after one that succeeded.",
        "connect_trouble",
        _trouble,
        largest=True,
    ),
    Number(
        "poolkeeper.replica.ready",
        "{process}",
        "Of a replica's pool: processes that send reads to it.",
        "gets_reads",
        lambda pool: None if pool.gets_reads is None else float(pool.gets_reads),
    ),
    Number(
        "poolkeeper.replica.lag",
        "s",
        "Of a replica's pool: how long it has lacked what its primary has; 0 when it has everything.",
        "replica_lag",
        lambda pool: pool.replica_lag,
        largest=True,
    ),
    Number(
        "poolkeeper.requests",
        _REQUESTS,
        "Calls for a connection, however they ended.",
        "totals.requests",
        lambda pool: pool.totals.requests,
        grows=True,
    ),
    Number(
        "poolkeeper.waited",
        _REQUESTS,
        "Calls for a connection that were not served at once.",
        "totals.waited",
        lambda pool: pool.totals.waited,
        grows=True,
    ),
    Number(
        "poolkeeper.checkouts",
        _CONNECTIONS,
        "Connections given out.",
        "totals.served",
        lambda pool: pool.totals.served,
        grows=True,
    ),
    Number(
        "poolkeeper.checkins",
        _CONNECTIONS,
        "Connections given back.",
        "totals.returned",
        lambda pool: pool.totals.returned,
        grows=True,
    ),
    Number(
        "poolkeeper.refused",
        _REQUESTS,
        "Callers that were turned away at once, by reason.",
        "totals.refused",
        lambda pool: _each(RefusalReason, pool.totals.refusals),
        by=_REASON,
        grows=True,
    ),
    Number(
        "poolkeeper.nested_checkouts",
        _REQUESTS,
        "Calls by holders of a connection for another one that had to wait for others or were turned away.",
        "holders",
        lambda pool: pool.nested.waited + sum(pool.nested.refused.values()),
        grows=True,
    ),
    Number(
        "poolkeeper.cancelled_waits",
        _REQUESTS,
        "Callers that gave up before they had a connection.",
        "totals.cancelled",
        lambda pool: pool.totals.cancelled,
        grows=True,
    ),
    Number(
        "poolkeeper.connect_failures",
        "{attempt}",
        "Attempts to connect that failed, by reason.",
        "totals.connect_failures",
        _connect_failures,
        by=_REASON,
        grows=True,
    ),
    Number(
        "poolkeeper.closed",
        _CONNECTIONS,
        "Connections closed, by reason.",
        "closed",
        _closed,
        by=_REASON,
        grows=True,
    ),
    Number(
        "poolkeeper.transactions",
        "{transaction}",
        "Transactions of run() and its kin, each counted once.",
        "retries",
        lambda pool: None if pool.retries is None else pool.retries.transactions,
        grows=True,
    ),
    Number(
        "poolkeeper.retries",
        "{attempt}",
        "Transactions, and first statements of read sessions, that were tried again, by reason.",
        "retries",
        _retried,
        by=_REASON,
        grows=True,
    ),
    Number(
        "poolkeeper.retries.refused",
        "{attempt}",
        "Retries that the budget did not allow.",
        "retries",
        lambda pool: None if pool.retries is None else pool.retries.refused,
        grows=True,
    ),
    Number(
        "poolkeeper.commits.unknown",
        "{transaction}",
        "Commits of such transactions whose answer was lost.",
        "retries",
        lambda pool: None if pool.retries is None else pool.retries.unknown,
        grows=True,
    ),
    Number(
        "poolkeeper.leaked",
        _CONNECTIONS,
        "Connections that nobody gave back and the garbage collector found.",
        "closed",
        lambda pool: pool.closed.get(CloseReason.LEAKED, 0),
        grows=True,
    ),
)

NUMBERS = _STANDARD + _OWN

TIMES = (
    Times(WAIT_TIME, "How long callers waited for a connection.", "timings.waits", lambda pool: pool.timings.waits),
    Times(
        "poolkeeper.queue_time",
        "How much of each wait was spent in the queue, and not on a connect; of those who had to wait.",
        "timings.queues",
        lambda pool: pool.timings.queues,
    ),
    Times(CREATE_TIME, "How long connects took.", "timings.connects", lambda pool: pool.timings.connects),
    Times(USE_TIME, "How long connections were held.", "timings.holds", lambda pool: pool.timings.holds),
    Times(
        "poolkeeper.hold.in_sql",
        "How much of each hold was spent waiting for the database.",
        "timings.in_sql",
        lambda pool: pool.timings.in_sql,
    ),
    Times(
        "poolkeeper.hold.gap",
        "How much of each hold was spent between statements.",
        "timings.gaps",
        lambda pool: pool.timings.gaps,
    ),
)

# Of a process, not of a pool: pools that work on one event loop tell the same of it.
WORKERS = Number("poolkeeper.workers", "{process}", "Processes that export their pools.", "", lambda _: 1)
RECENT_LAG = Number(
    "poolkeeper.event_loop.lag.recent",
    "s",
    "The worst lag of the event loop within the last seconds.",
    "loop_lag",
    lambda pool: pool.loop_lag.recent if pool.loop_lag else 0.0,
    largest=True,
)
LAG = Times(
    "poolkeeper.event_loop.lag",
    "How late the event loop ran what was due.",
    "loop_lag",
    lambda pool: pool.loop_lag.lags if pool.loop_lag else Histogram(),
)
