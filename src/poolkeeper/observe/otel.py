"""Pools as OpenTelemetry metrics (extra `otel`; FastAPI brings the API itself). Without an SDK nothing is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation, get_meter_provider

from poolkeeper.model import BOUNDS, PoolEvent, PoolEventKind
from poolkeeper.observe.metrics import (
    CREATE_TIME,
    NUMBERS,
    POOL_NAME,
    RECENT_LAG,
    SCHEMA_URL,
    TIMES,
    USE_TIME,
    WAIT_TIME,
    Number,
    Reading,
    Source,
    reading_of,
    reading_of_process,
)

_TIMES_OF = {
    PoolEventKind.HANDED_OVER: WAIT_TIME,
    PoolEventKind.CONNECTED: CREATE_TIME,
    PoolEventKind.RETURNED: USE_TIME,
}


class OtelObserver:
    """Records how long waits, connects and holds of one pool take: a `PoolObserver`.

    They are recorded one by one, as OpenTelemetry has no histogram that is read at collection. `meter_provider` is the
    global one unless given. What a pool does is told to an observer at each checkout, also when nobody measures:
    `observer_for()` makes one only where that is of use.
    """

    def __init__(self, pool_name: str, meter_provider: MeterProvider | None = None) -> None:
        meter = _meter(meter_provider)
        self._attributes = {POOL_NAME: pool_name}
        self._of_kind = {kind: _histogram(meter, name) for kind, name in _TIMES_OF.items()}

    def notice(self, event: PoolEvent) -> None:
        histogram = self._of_kind.get(event.kind)
        if histogram is not None:
            histogram.record(event.seconds, self._attributes)


class Registration:
    """Pools that are read at each collection. OpenTelemetry forgets no instrument: after `close()` ours say nothing."""

    def __init__(self, sources: Sequence[Source], meter: Meter) -> None:
        self._sources = tuple(sources)
        self._reading = Reading()
        self._told: set[str] = set()
        for number in (*NUMBERS, RECENT_LAG):
            self._instrument(meter, number)

    def close(self) -> None:
        """Read the pools no more."""
        self._sources = ()
        self._told.clear()

    def _instrument(self, meter: Meter, number: Number) -> None:
        arguments = number.name, [self._callback(number.name)], number.unit, number.description
        if number.grows:
            meter.create_observable_counter(*arguments)
        elif number.largest:
            meter.create_observable_gauge(*arguments)
        else:
            meter.create_observable_up_down_counter(*arguments)

    def _callback(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
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


def register(sources: Sequence[Source], meter_provider: MeterProvider | None = None) -> Registration:
    """Export the pools that these tell of: they are read when metrics are collected, and cost nothing between.

    `meter_provider` is the global one unless given; it may be set later.
    """
    return Registration(sources, _meter(meter_provider))


def observer_for(pool_name: str, meter_provider: MeterProvider | None = None) -> OtelObserver | None:
    """An observer for a pool; None where nothing measures, so that its checkouts cost no more than without."""
    return OtelObserver(pool_name, meter_provider) if is_measured(meter_provider) else None


def is_measured(meter_provider: MeterProvider | None = None) -> bool:
    """Whether there is an SDK behind the API; one that is set up later does not count yet."""
    provider = meter_provider or get_meter_provider()
    return not type(provider).__module__.startswith("opentelemetry.metrics")


def _meter(meter_provider: MeterProvider | None) -> Meter:
    return (meter_provider or get_meter_provider()).get_meter("poolkeeper", version("poolkeeper"), SCHEMA_URL)


def _histogram(meter: Meter, name: str) -> Histogram:
    description = next(times.description for times in TIMES if times.name == name)
    # The SDK's own buckets are meant for milliseconds: in seconds, all would be in the first.
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=BOUNDS)
