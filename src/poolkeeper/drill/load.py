"""An open-loop load: requests leave on a schedule that the service's answers cannot slow down.

Real callers do not wait for each other. A generator that does (a closed loop) sends less while the service is slow and
so hides the slowness; and one that counts from the moment of sending forgets the wait before it. Here each latency
counts from the intended start of its request.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from poolkeeper.drill.client import HttpClient, Response, ResponseCutOff
from poolkeeper.drill.histogram import Histogram
from poolkeeper.drill.traffic import Call, Traffic

# The series keeps this many seconds; totals count everything.
_SERIES_SECONDS = 3600


def steady(rate: float, seconds: float | None = None) -> Iterator[float]:
    """Arrival times from 0, `rate` per second for `seconds`, or without end."""
    moments = (number / rate for number in itertools.count())
    return moments if seconds is None else itertools.takewhile(lambda moment: moment < seconds, moments)


@dataclass(frozen=True, slots=True)
class Second:
    """What became of the requests whose intended start lies in one second of the run."""

    second: int
    requests: int
    errors: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A finished load; latencies in milliseconds from the intended start, errors included.

    `by_status` counts complete responses, `by_error` everything that was counted as an error: "status 503", "refused",
    "timeout", "cut off", "network", "not sent" (too many were under way). `behind_ms` is the furthest that sending fell
    behind the schedule: when it is large the generator was the bottleneck, and its figures mean little.
    """

    seconds: float
    requests: int
    errors: int
    by_status: dict[str, int]
    by_error: dict[str, int]
    by_route: dict[str, int]
    p50_ms: float
    p99_ms: float
    max_ms: float
    behind_ms: float
    series: list[Second]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LoadResult:
        series = [Second(**second) for second in values["series"]]
        return cls(**{name: value for name, value in values.items() if name != "series"}, series=series)


class Recorder:
    """Counts outcomes as they come. A screen can look at it while the load runs."""

    def __init__(self) -> None:
        self.latencies = Histogram()
        self.by_status: Counter[int] = Counter()
        self.by_error: Counter[str] = Counter()
        self.by_route: Counter[str] = Counter()
        self.behind = 0.0
        self._seconds: dict[int, Histogram] = {}
        self._errors: Counter[int] = Counter()

    @property
    def requests(self) -> int:
        return self.latencies.count

    @property
    def errors(self) -> int:
        return self.by_error.total()

    def add(self, call: Call, intended: float, latency: float, response: Response | None, error: str | None) -> None:
        second = int(intended)
        self.latencies.add(latency)
        self._second(second).add(latency)
        self.by_route[call.route] += 1
        if response is not None:
            self.by_status[response.status] += 1
        if error is not None:
            self.by_error[error] += 1
            self._errors[second] += 1

    def latest(self, now: float, seconds: int) -> Histogram:
        """Latencies of the last `seconds` whole seconds before `now` (seconds since the start of the load)."""
        found = Histogram()
        for second in range(max(0, int(now) - seconds), int(now)):
            if second in self._seconds:
                found.merge(self._seconds[second])
        return found

    def result(self, seconds: float) -> LoadResult:
        return LoadResult(
            seconds=seconds,
            requests=self.requests,
            errors=self.errors,
            by_status={str(status): count for status, count in sorted(self.by_status.items())},
            by_error=dict(sorted(self.by_error.items())),
            by_route=dict(sorted(self.by_route.items())),
            p50_ms=_ms(self.latencies.quantile(0.5)),
            p99_ms=_ms(self.latencies.quantile(0.99)),
            max_ms=_ms(self.latencies.maximum),
            behind_ms=_ms(self.behind),
            series=[self._summary(second) for second in sorted(self._seconds)],
        )

    def _second(self, second: int) -> Histogram:
        if second not in self._seconds:
            self._seconds[second] = Histogram()
            oldest = min(self._seconds)
            if oldest <= second - _SERIES_SECONDS:
                del self._seconds[oldest]
                self._errors.pop(oldest, None)
        return self._seconds[second]

    def _summary(self, second: int) -> Second:
        found = self._seconds[second]
        p50, p99 = _ms(found.quantile(0.5)), _ms(found.quantile(0.99))
        return Second(second, found.count, self._errors[second], p50, p99, _ms(found.maximum))


class Load:
    """A load on the service at `address` ("http://127.0.0.1:8000"); `run` it once, `stop` ends it early.

    `timeout` (seconds, from the intended start) ends a request as an error, unless its call has a `patience`. No more
    than `max_under_way` requests are open at once; one that would be is counted as "not sent", so that memory and
    sockets stay bounded.
    """

    def __init__(
        self,
        address: str,
        traffic: Traffic,
        arrivals: Iterable[float],
        *,
        timeout: float = 10.0,
        max_under_way: int = 2000,
        max_requests: int = 5_000_000,
    ) -> None:
        self._address, self._traffic = urlsplit(address), traffic
        self._arrivals = itertools.islice(arrivals, max_requests)
        self._timeout, self._max_under_way = timeout, max_under_way
        self._stopped = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._started: float | None = None
        self.recorder = Recorder()

    @property
    def elapsed(self) -> float:
        """Seconds since the load started."""
        return 0.0 if self._started is None else asyncio.get_running_loop().time() - self._started

    def stop(self) -> None:
        """Send nothing more; requests under way still finish."""
        self._stopped.set()

    async def run(self) -> LoadResult:
        """Send everything on schedule, wait for the answers (at most `timeout`), return the figures.

        When cancelled, requests under way are cancelled too and not counted.
        """
        self._started = asyncio.get_running_loop().time()
        async with HttpClient(self._address.hostname or "", self._address.port or 80) as client:
            try:
                await self._send_all(client, self._started)
                if self._under_way:
                    await asyncio.wait(self._under_way)
            finally:
                for task in self._under_way:
                    task.cancel()
                await asyncio.gather(*self._under_way, return_exceptions=True)
        return self.recorder.result(self.elapsed)

    async def _send_all(self, client: HttpClient, started: float) -> None:
        for intended in self._arrivals:
            await self._wait_until(started + intended)
            if self._stopped.is_set():
                return
            self.recorder.behind = max(self.recorder.behind, self.elapsed - intended)
            call = self._traffic.next()
            if len(self._under_way) >= self._max_under_way:
                self.recorder.add(call, intended, self.elapsed - intended, None, "not sent")
                continue
            task = asyncio.create_task(self._send(client, call, intended))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _wait_until(self, moment: float) -> None:
        # The answers need a turn of the loop also when the schedule is behind and never waits.
        await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await self._stopped.wait()

    async def _send(self, client: HttpClient, call: Call, intended: float) -> None:
        response, error = None, None
        patience = self._timeout if call.patience is None else call.patience
        try:
            async with asyncio.timeout_at((self._started or 0.0) + intended + patience):
                response = await client.request(call.method, call.path, call.body)
            if response.status in call.expected:
                self._traffic.answered(call, response)
            else:
                error = f"status {response.status}"
        except TimeoutError:
            error = "timeout"
        except ResponseCutOff:
            error = "cut off"
        except ConnectionRefusedError:
            error = "refused"
        except OSError:
            error = "network"
        self.recorder.add(call, intended, self.elapsed - intended, response, error)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
