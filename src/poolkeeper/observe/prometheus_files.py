"""Pools in the files through which the processes of a service export as one: prometheus_client's multiprocess mode.

No collector is asked there: what a process exports is what it has written. So every process writes its pools' numbers
at a steady pace, and what has been added to their counts.
"""

# prometheus_client is not typed where it matters here.
# pyright: reportPrivateUsage=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import atexit
import logging
import os
import re
from collections import Counter as Counts
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, values
from prometheus_client import Histogram as HistogramMetric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from poolkeeper.model import BOUNDS, Histogram
from poolkeeper.observe.history import Ticker
from poolkeeper.observe.metrics import LAG, NUMBERS, RECENT_LAG, TIMES, WORKERS, Number, Source
from poolkeeper.observe.prometheus import labels_of, name_of
from poolkeeper.observe.readings import Reading, Series, reading_of, reading_of_process
from poolkeeper.observe.worker_folder import Process, started

M = TypeVar("M", Gauge, Counter, HistogramMetric)

log = logging.getLogger("poolkeeper")

EVERY = 1.0  # seconds
_LIVE_FILE = re.compile(r"gauge_live[a-z]+_(\d+)\.db")


class _Files(MultiProcessCollector):
    """Passes over the file of a process that has made it and not yet given it a length, which cannot be read."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        super().__init__(registry, str(folder))  # type: ignore[no-untyped-call]
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        begun = [str(file) for file in self._folder.glob("*.db") if _has_begun(file)]
        return self.merge(begun)  # type: ignore[no-untyped-call,no-any-return]


class SharedMetrics:
    """The pools of this process in the shared folder. Use `shared_metrics()`: two of them would overwrite each other.

    While it runs it writes every second and, called by whoever answers a scrape, at each `refresh()`. What a process
    that died left of gauges is removed then, and when one starts or stops; its counts stay, as they must.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if values.ValueClass is values.MutexValue:
            log.error("no pool is exported: prometheus_client was imported before PROMETHEUS_MULTIPROC_DIR was set")
        self.registry = CollectorRegistry()
        _Files(self.registry, folder)
        self._gauges = {metric.name: _gauge(metric) for metric in _numbers() if not metric.grows}
        self._counters = {metric.name: _counter(metric) for metric in _numbers() if metric.grows}
        self._histograms = {
            times.name: HistogramMetric(
                name_of(times), times.description, labels_of(times), registry=None, buckets=BOUNDS
            )
            for times in (*TIMES, LAG)
        }
        self._sources: Counts[Source] = Counts()
        # What was written of each source's counts, and (None) of the process's own.
        self._written: dict[Source | None, Reading] = {}
        self._shown: set[Series] = set()
        self._ticker = Ticker(self.refresh, EVERY)

    def start(self, *sources: Source) -> None:
        """Export the pools that these tell of, from now on; call it on an event loop."""
        if not self._sources:
            self.sweep()
            atexit.register(_leave, os.getpid(), str(self.folder))
        self._sources.update(sources)
        self._ticker.start()

    def stop(self, *sources: Source) -> None:
        """Do not export them any more; their counts stay."""
        self.refresh()
        self._sources.subtract(sources)
        self._sources = +self._sources
        for source in sources:
            if source not in self._sources:
                self._written.pop(source, None)
        if not self._sources:
            self._ticker.stop()
            self.sweep()
        self.refresh()

    def refresh(self) -> None:
        """Write what the pools say now."""
        pools = {source: source() for source in self._sources}
        for source, pool in pools.items():
            self._count(source, reading_of([pool]))
        now: dict[Series, float] = {}
        if pools:
            process = reading_of_process(list(pools.values()))
            self._count(None, process)
            now = {**reading_of(list(pools.values())).numbers, **process.numbers}
        self._show({series: value for series, value in now.items() if series.name in self._gauges})

    def sweep(self) -> None:
        """Remove the gauges of processes that have died."""
        found = (_LIVE_FILE.fullmatch(file.name) for file in self.folder.iterdir())
        for pid in {int(name[1]) for name in found if name}:
            if not _lives(pid):
                _mark_dead(pid, str(self.folder))

    def _show(self, numbers: Mapping[Series, float]) -> None:
        # The client has no way to remove a series from the files.
        for series in self._shown - numbers.keys():
            _child(self._gauges, series).set(0)
        # Also those that have not changed: after a fork the file is another.
        for series, value in numbers.items():
            _child(self._gauges, series).set(value)
        self._shown |= numbers.keys()

    def _count(self, source: Source | None, reading: Reading) -> None:
        """Add what is new since the last time: the file may hold the counts of others, too."""
        before = self._written.get(source, Reading())
        self._written[source] = reading
        for series, value in reading.numbers.items():
            if series.name in self._counters:
                _child(self._counters, series).inc(_growth(value, before.numbers.get(series, 0.0)))
        for series, histogram in reading.times.items():
            _add(_child(self._histograms, series), _new(histogram, before.times.get(series)))


@cache
def shared_metrics(folder: str) -> SharedMetrics:
    """This process's part in that folder."""
    return SharedMetrics(Path(folder))


def _numbers() -> Iterable[Number]:
    return chain(NUMBERS, (WORKERS, RECENT_LAG))


def _gauge(metric: Number) -> Gauge:
    return Gauge(
        name_of(metric),
        metric.description,
        labels_of(metric),
        registry=None,
        multiprocess_mode="livemax" if metric.largest else "livesum",
    )


def _counter(metric: Number) -> Counter:
    return Counter(name_of(metric), metric.description, labels_of(metric), registry=None)


def _child(metrics: Mapping[str, M], series: Series) -> M:
    metric = metrics[series.name]
    return metric.labels(*(value for _, value in series.attributes)) if series.attributes else metric


def _growth(now: float, before: float) -> float:
    """What was added. Counts that went down began anew."""
    return now - before if now >= before else now


def _new(now: Histogram, before: Histogram | None) -> Histogram:
    if before is None or any(map(int.__lt__, now.counts, before.counts)):
        return now
    return now.since(before)


def _add(metric: HistogramMetric, histogram: Histogram) -> None:
    # `observe()` takes one value at a time. A busy pool has thousands a second, of which only the buckets are known.
    buckets: list[Any] = metric._buckets
    total: Any = metric._sum
    for bucket, count in zip(buckets, histogram.counts, strict=True):
        if count:
            bucket.inc(count)
    if histogram.total:
        total.inc(histogram.total)


def _has_begun(file: Path) -> bool:
    # Gauges may be swept meanwhile.
    with suppress(FileNotFoundError):
        return file.stat().st_size > 0
    return False


def _lives(pid: int) -> bool:
    since = started(pid)
    return since != 0 if since is not None else Process(pid, 0).lives()


def _mark_dead(pid: int, folder: str) -> None:
    # Another worker may be sweeping, too.
    with suppress(FileNotFoundError):
        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def _leave(pid: int, folder: str) -> None:
    # A forked child inherits this.
    if os.getpid() == pid and os.path.isdir(folder):
        _mark_dead(pid, folder)
