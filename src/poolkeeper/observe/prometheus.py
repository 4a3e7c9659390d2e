"""Pools in the registry of prometheus_client (extra `prometheus`)."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from poolkeeper.model import Histogram
from poolkeeper.observe.metrics import LAG, NUMBERS, POOL_NAME, RECENT_LAG, TIMES, WORKERS, Number, Source, Times
from poolkeeper.observe.readings import Reading, reading_of, reading_of_process

# The translation of OpenTelemetry's names that Prometheus and the collector use.
_SUFFIXES = {"s": "_seconds"}


def name_of(metric: Number | Times) -> str:
    """The metric's name in Prometheus; a counter's without `_total`."""
    unit = "s" if isinstance(metric, Times) else metric.unit
    return metric.name.replace(".", "_") + _SUFFIXES.get(unit, "")


def labels_of(metric: Number | Times) -> tuple[str, ...]:
    """The names of its labels."""
    if metric in (WORKERS, RECENT_LAG, LAG):
        return ()
    by = metric.by if isinstance(metric, Number) else ""
    return tuple(name.replace(".", "_") for name in (POOL_NAME, by) if name)


class PoolMetrics(Collector):
    """Some pools, read anew at every scrape: what is exported cannot differ from what the pools say.

    Use `pool_metrics()` to get the one of a registry. Where several processes share PROMETHEUS_MULTIPROC_DIR, no
    collector is asked; see `poolkeeper.observe.prometheus_files`.
    """

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def add(self, *sources: Source) -> None:
        """Export the pools that these tell of."""
        self._sources += sources

    def remove(self, *sources: Source) -> None:
        """Do not export them any more."""
        for source in sources:
            self._sources.remove(source)

    def collect(self) -> Iterable[Metric]:
        pools = [source() for source in dict.fromkeys(self._sources)]
        yield from _families(reading_of(pools), (*NUMBERS, *TIMES))
        yield from _families(reading_of_process(pools), (WORKERS, RECENT_LAG, LAG))

    def describe(self) -> Iterable[Metric]:
        """The same without samples: whoever registers a metric is not to wait for a pool."""
        yield from _families(Reading(), (*NUMBERS, *TIMES, WORKERS, RECENT_LAG, LAG))


_of_registry: weakref.WeakKeyDictionary[CollectorRegistry, PoolMetrics] = weakref.WeakKeyDictionary()


def pool_metrics(registry: CollectorRegistry = REGISTRY) -> PoolMetrics:
    """The collector of a registry, registered at the first call."""
    found = _of_registry.get(registry)
    if found is None:
        found = _of_registry[registry] = PoolMetrics()
        registry.register(found)
    return found


def shared_folder() -> str | None:
    """The folder through which the processes of a service export as one; None without."""
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR") or None


def _families(reading: Reading, metrics: Iterable[Number | Times]) -> Iterable[Metric]:
    families = {metric.name: _family(metric) for metric in metrics}
    for series, value in reading.numbers.items():
        family = families[series.name]
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)  # noqa: S101 - for the type checkers
        family.add_metric([label for _, label in series.attributes], value)
    for series, histogram in reading.times.items():
        family = families[series.name]
        assert isinstance(family, HistogramMetricFamily)  # noqa: S101 - for the type checkers
        family.add_metric([label for _, label in series.attributes], _buckets(histogram), histogram.total)
    return families.values()


def _family(metric: Number | Times) -> Metric:
    labels = labels_of(metric)
    if isinstance(metric, Times):
        return HistogramMetricFamily(name_of(metric), metric.description, labels=labels)
    kind = CounterMetricFamily if metric.grows else GaugeMetricFamily
    return kind(name_of(metric), metric.description, labels=labels)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    # Written as prometheus_client does it in its files: "1.0", not "1".
    bounds = (*map(repr, histogram.bounds), "+Inf")
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
