"""The load of a running service, from what its pools tell Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from poolkeeper.model import Histogram
from poolkeeper.planner.scrape import Scrape, ScrapeUnreadable

# As `poolkeeper.observe.prometheus` writes them.
POOL = "db_client_connection_pool_name"
CALLS = "poolkeeper_requests_total"
REFUSED = "poolkeeper_refused_total"
TIMED_OUT = "db_client_connection_timeouts_total"
USED = "db_client_connection_count"
SIZE = "poolkeeper_pool_size"
CAPACITY = "db_client_connection_max"
POOL_TIMEOUT = "poolkeeper_pool_timeout_seconds"
HOLDS = "db_client_connection_use_time_seconds"
WAITS = "db_client_connection_wait_time_seconds"
WORKERS = "poolkeeper_workers"
REPLICA = "poolkeeper_replica_ready"
# Of prometheus_client, on Linux; left out where several processes export as one.
STARTED = "process_start_time_seconds"

_FEWEST = 100


@dataclass(frozen=True, slots=True)
class MeasuredPool:
    """What one pool did within a window, in all processes that export as one.

    Rates are per second. `calls` are calls for a connection, those included that were refused or timed out; of a pool
    that cannot count them, of SQLAlchemy's, those that were served. `holds` and `waits` count in buckets, in seconds.
    `pool_size`, `max_overflow` and `pool_timeout` are those of one process, None where they are not told.
    """

    name: str
    calls: float
    refused: float
    timed_out: float
    holds: Histogram
    waits: Histogram
    in_use: float
    pool_size: int | None
    max_overflow: int | None
    pool_timeout: float | None

    @property
    def mean_in_use(self) -> float:
        """How many connections were busy in the mean: Little's law, calls that were served times their mean hold."""
        return (self.calls - self.refused - self.timed_out) * (self.holds.mean or 0.0)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a service did: its pools in the order of their names, the window in seconds, and what weakens the figures.

    `workers` is how many processes export as one, at least one.
    """

    pools: tuple[MeasuredPool, ...]
    workers: int
    seconds: float
    notes: tuple[str, ...]

    def tables(self, pods: Mapping[str, int]) -> dict[str, dict[str, object]]:
        """What was measured of each service, as the tables of a workload's document have it.

        The scrape is that of one pod: where a service has several, all of them together do so many times as much.
        """
        return {
            pool.name: {
                "rps": pool.calls * pods.get(pool.name, 1),
                "hold": _duration(pool.holds.mean or 0.0),
                "hold_histogram": _table(pool.holds),
                "workers": self.workers,
            }
            for pool in self.pools
        }


def measured_between(earlier: Scrape, later: Scrape, seconds: float) -> Measured:
    """What happened between two scrapes, so many seconds apart.

    Raises `ScrapeUnreadable` where no pool is told of, nothing was asked of any, or the counts went down.
    """
    if earlier.number(STARTED) != later.number(STARTED):
        raise ScrapeUnreadable(_OTHER_PROCESS.format(what=STARTED))
    return _measured(later, earlier, seconds, ())


def measured_since_start(scrape: Scrape, at: float) -> Measured:
    """What happened from the start of the process until `at` (seconds since 1970), in one scrape.

    Raises `ScrapeUnreadable` as `measured_between` does, and where the scrape does not tell when the process started.
    """
    started = scrape.number(STARTED)
    if started is None:
        raise ScrapeUnreadable(
            f"one scrape alone gives no rate: it has no {STARTED}, as where several processes export as one; give the "
            "URL of the metrics and --over 30s instead of a file"
        )
    if not at > started:
        raise ScrapeUnreadable(
            f"the scrape is {started - at:.0f} s older than {STARTED} in it: the file's time is taken for that of "
            "the scrape, so keep it when the file is copied (cp -p)"
        )
    note = (
        f"rates are the mean over the {at - started:.0f} s since the process started: the peak is higher; give "
        "--rps for it, or the URL and --over at the peak"
    )
    return _measured(scrape, None, at - started, (note,))


_OTHER_PROCESS = (
    "{what} is not the same in both scrapes: the service restarted, or another of its processes answered; where it has "
    "several, let them export as one with PROMETHEUS_MULTIPROC_DIR, and measure again"
)


def _measured(later: Scrape, earlier: Scrape | None, seconds: float, notes: tuple[str, ...]) -> Measured:
    holds = _new(HOLDS, later, earlier)
    if not holds:
        raise ScrapeUnreadable(
            f"the scrape tells of no pool: {HOLDS} is missing; is the Keeper installed, with the extra prometheus?"
        )
    replicas = later.values(REPLICA, POOL).keys() & holds.keys()
    reader, waits = _Reader(later, earlier, seconds), _new(WAITS, later, earlier)
    pools = [reader.pool(name, holds[name], waits.get(name)) for name in sorted(holds.keys() - replicas)]
    busy = tuple(pool for pool in pools if pool.holds.count)
    if not busy:
        raise ScrapeUnreadable(
            f"no pool gave a connection back within {seconds:.0f} s: measure while the service is used, or for longer"
        )
    apart = (f"pool {name} is of a replica, another server: plan it by itself" for name in sorted(replicas))
    return Measured(busy, reader.workers, seconds, (*notes, *_weak(pools, seconds), *apart))


def _weak(pools: Iterable[MeasuredPool], seconds: float) -> Iterator[str]:
    """What is known of some pools is little, or nothing."""
    for pool in pools:
        count = pool.holds.count
        if not count:
            yield f"pool {pool.name} was not used within {seconds:.0f} s, and is left out"
        elif count < _FEWEST:
            yield (
                f"pool {pool.name} was used {count} times within {seconds:.0f} s: measure for longer, its slow holds "
                "are little more than a guess"
            )


class _Reader:
    """The numbers of pools, of one scrape or between two."""

    def __init__(self, later: Scrape, earlier: Scrape | None, seconds: float) -> None:
        self._later, self._earlier, self._seconds = later, earlier, seconds
        self.workers = round(later.number(WORKERS) or 1)

    def pool(self, name: str, holds: Histogram, waits: Histogram | None) -> MeasuredPool:
        size, capacity = (self._of_one_process(metric, name) for metric in (SIZE, CAPACITY))
        calls = self._rate(CALLS, name)
        return MeasuredPool(
            name=name,
            calls=holds.count / self._seconds if calls is None else calls,
            refused=self._rate(REFUSED, name) or 0.0,
            timed_out=self._rate(TIMED_OUT, name) or 0.0,
            holds=holds,
            waits=waits or Histogram(),
            in_use=self._used(name),
            pool_size=size,
            max_overflow=None if size is None or capacity is None else max(0, capacity - size),
            pool_timeout=self._later.values(POOL_TIMEOUT, POOL).get(name),
        )

    def _rate(self, metric: str, name: str) -> float | None:
        now = self._later.values(metric, POOL).get(name)
        if now is None or self._earlier is None:
            return None if now is None else now / self._seconds
        before = self._earlier.values(metric, POOL).get(name, 0.0)
        if now < before:
            raise ScrapeUnreadable(_OTHER_PROCESS.format(what=f"the process behind {metric} of {name}"))
        return (now - before) / self._seconds

    def _of_one_process(self, metric: str, name: str) -> int | None:
        all_of_them = self._later.values(metric, POOL).get(name)
        return None if all_of_them is None else round(all_of_them / self.workers)

    def _used(self, name: str) -> float:
        state = "db_client_connection_state"
        return sum(
            sample.value
            for sample in self._later.samples
            if sample.name == USED and sample.labels.get(POOL) == name and sample.labels.get(state) == "used"
        )


def _new(metric: str, later: Scrape, earlier: Scrape | None) -> dict[str, Histogram]:
    """The histograms of each pool: what the later scrape has more than the earlier."""
    found = later.histograms(metric, POOL)
    before: Mapping[str, Histogram] = {} if earlier is None else earlier.histograms(metric, POOL)
    return {
        name: _grown(f"the process behind {metric} of {name}", now, before.get(name)) for name, now in found.items()
    }


def _grown(what: str, now: Histogram, before: Histogram | None) -> Histogram:
    if before is None:
        return now
    if before.bounds != now.bounds or any(map(int.__lt__, now.counts, before.counts)) or now.total < before.total:
        raise ScrapeUnreadable(_OTHER_PROCESS.format(what=what))
    return now.since(before)


def _table(histogram: Histogram) -> dict[str, object]:
    bounds = [_duration(bound) for bound in histogram.bounds]
    return {**dict(zip(bounds, histogram.counts, strict=False)), "more": histogram.counts[-1]}


def _duration(seconds: float) -> str:
    return f"{seconds!r}s"
