"""Pools as OpenTelemetry metrics (extra `otel`; FastAPI brings the API itself). Without an SDK nothing is measured."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from opentelemetry.metrics import (
    CallbackOptions,
    Histogram,
    Instrument,
    Meter,
    MeterProvider,
    Observation,
    get_meter_provider,
)

from poolkeeper.model import BOUNDS, PoolEvent, PoolEventKind
from poolkeeper.observe.metrics import NUMBERS, POOL_NAME, RECENT_LAG, SCHEMA_URL, TIMES, Number, Source, Times
from poolkeeper.observe.readings import Reading, reading_of, reading_of_process

log = logging.getLogger("poolkeeper")

_WHAT = {
    PoolEventKind.HANDED_OVER: "waits",
    PoolEventKind.CONNECTED: "connects",
    PoolEventKind.RETURNED: "holds",
}


# Each value costs several microseconds of the SDK's: not what a hold consists of, for that would double the price.
_RECORDED = ("waits", "queues", "connects", "holds")


class OtelObserver:
    """Records how long waits, connects and holds of one pool take: a `PoolObserver`, also for a `KeeperPool` alone.

    They are recorded one by one, as OpenTelemetry has no histogram that is read at collection. `meter_provider` is the
    global one unless given. What a pool does is told to an observer at each checkout, also when nobody measures:
    `observer_for()` makes one only where that is of use.
    """

    def __init__(self, pool_name: str, meter_provider: MeterProvider | None = None) -> None:
        meter = _meter(meter_provider)
        self._attributes = {POOL_NAME: pool_name}
        named = {times.known_by.rpartition(".")[2]: times for times in TIMES}
        self._histograms = {what: _histogram(meter, named[what]) for what in _RECORDED}

    def notice(self, event: PoolEvent) -> None:
        what = _WHAT.get(event.kind)
        if what is not None:
            self.took(what, event.seconds)

    def took(self, what: str, seconds: float) -> None:
        """Record one more of `Timings.what`."""
        histogram = self._histograms.get(what)
        if histogram is None:
            return
        try:
            histogram.record(seconds, self._attributes)
        except Exception:
            # It would cost the caller the connection.
            self._histograms = {}
            log.exception("%s: OpenTelemetry fails; no more times are recorded", self._attributes[POOL_NAME])


class Exporter:
    """The instruments of one meter provider, which forgets none: each reads all pools of the moment.

    A second instrument of the same name would get the callbacks of the first, so there is one set for each provider.
    """

    def __init__(self, meter: Meter) -> None:
        self._sources: list[Source] = []
        self._reading = Reading()
        self._told: set[str] = set()
        # Readers collect in threads of their own.
        self._lock = threading.Lock()
        # Some providers keep instruments only as long as somebody else does.
        self._instruments = [self._instrument(meter, number) for number in (*NUMBERS, RECENT_LAG)]

    def add(self, sources: Sequence[Source]) -> None:
        self._sources.extend(sources)

    def remove(self, sources: Sequence[Source]) -> None:
        with self._lock:
            self._sources = [source for source in self._sources if source not in sources]
            self._told.clear()

    def _instrument(self, meter: Meter, number: Number) -> Instrument:
        arguments = number.name, [self._callback(number.name)], number.unit, number.description
        if number.grows:
            return meter.create_observable_counter(*arguments)
        if number.largest:
            return meter.create_observable_gauge(*arguments)
        return meter.create_observable_up_down_counter(*arguments)

    def _callback(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            with self._lock:
                numbers = self._read_for(name).numbers
            return [
                Observation(value, dict(series.attributes)) for series, value in numbers.items() if series.name == name
            ]

        return observe

    def _read_for(self, name: str) -> Reading:
        """One reading for all instruments of a collection: whoever asks a second time begins the next."""
        if not self._told or name in self._told:
            self._told.clear()
            pools = [source() for source in self._sources]
            numbers = reading_of(pools).numbers | (reading_of_process(pools).numbers if pools else {})
            self._reading = Reading(numbers)
        self._told.add(name)
        return self._reading


class Registration:
    """Pools that are read at each collection, until `close()`."""

    def __init__(self, exporter: Exporter, sources: Sequence[Source]) -> None:
        self._exporter, self._sources = exporter, tuple(sources)
        exporter.add(self._sources)

    def close(self) -> None:
        """Read the pools no more. Safe to call twice."""
        self._exporter.remove(self._sources)
        self._sources = ()


# None is the global provider. A list: providers need not be hashable.
_exporters: list[tuple[MeterProvider | None, Exporter]] = []
_exporters_lock = threading.Lock()


def register(sources: Sequence[Source], meter_provider: MeterProvider | None = None) -> Registration:
    """Export the pools that these tell of: they are read when metrics are collected, and cost nothing between.

    `meter_provider` is the global one unless given; it may be set later. A `Database` registers itself where an SDK is
    set up when it starts.
    """
    with _exporters_lock:
        return Registration(_exporter_of(meter_provider), sources)


def _exporter_of(provider: MeterProvider | None) -> Exporter:
    if provider is get_meter_provider():
        provider = None
    found = next((exporter for known, exporter in _exporters if known is provider), None)
    if found is None:
        # What is made before there is a global provider becomes that one's when it is set.
        found = Exporter(_meter(provider))
        _exporters.append((provider, found))
    return found


def observer_for(pool_name: str, meter_provider: MeterProvider | None = None) -> OtelObserver | None:
    """An observer for a pool; None where nothing measures, so that its checkouts cost no more than without."""
    return OtelObserver(pool_name, meter_provider) if is_measured(meter_provider) else None


def is_measured(meter_provider: MeterProvider | None = None) -> bool:
    """Whether there is an SDK behind the API; one that is set up later does not count yet."""
    provider = meter_provider or get_meter_provider()
    return not type(provider).__module__.startswith("opentelemetry.metrics")


def _meter(meter_provider: MeterProvider | None) -> Meter:
    return (meter_provider or get_meter_provider()).get_meter("poolkeeper", version("poolkeeper"), SCHEMA_URL)


def _histogram(meter: Meter, times: Times) -> Histogram:
    try:
        # The SDK's own buckets are meant for milliseconds: in seconds, all would be in the first.
        return meter.create_histogram(times.name, "s", times.description, explicit_bucket_boundaries_advisory=BOUNDS)
    except TypeError:
        # Wrappers of the SDK may know no advice.
        return meter.create_histogram(times.name, "s", times.description)
