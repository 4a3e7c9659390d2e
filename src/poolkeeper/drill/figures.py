"""What a run of a scenario on a stack has shown: everything observed, and the figures made of it. No I/O here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from poolkeeper.drill.connects import Connect, most_at_once
from poolkeeper.drill.phased import Outcome

# Of the curve over time (seconds).
_STEP = 0.25
# The window of the rate of connects (seconds), and how near the end of a run trouble counts as lasting.
_WINDOW = 0.1
_LASTING = 0.3


class Sample(NamedTuple):
    """What the proxy before the server counted at a moment, in seconds from the start of the load."""

    at: float
    connections: int
    connects: int


@dataclass(frozen=True, slots=True)
class Books:
    """Transfers that were answered with success, against the rows that say so.

    `missing` were reported and are not there, `doubled` are there more than once; `off` customers have another balance
    than the rows say.
    """

    missing: int = 0
    doubled: int = 0
    off: int = 0

    @property
    def wrong(self) -> int:
        return self.missing + self.doubled + self.off


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything from one run; moments are seconds from the start of the load, so before it they are negative.

    `marks` has "opened" (the steady state has begun), "fault" and "over" (the trouble's begin and end) and what a fault
    added, `counts` whatever else it counted. `in_use` is what the pool had in use at the end, None where the service
    had ended; `causes` are what the service named as causes of its trouble. `connecting` are the connects from "opened"
    on.
    """

    stack: str
    connections: int
    outcomes: tuple[Outcome, ...]
    samples: tuple[Sample, ...]
    marks: dict[str, float]
    counts: dict[str, float]
    books: Books | None
    in_use: int | None
    backends_left: int
    behind: float = 0.0
    causes: tuple[str, ...] = ()
    connecting: tuple[Connect, ...] = ()

    def during(self, begin: str, end: str) -> list[Outcome]:
        """The requests that were under way at some moment between two marks."""
        return [each for each in self.outcomes if each.due <= self.marks[end] and each.end >= self.marks[begin]]


@dataclass(frozen=True, slots=True)
class Point:
    """A quarter of a second: answers per second by their end, the p99 of requests by their beginning, connections."""

    at: float
    ok: float
    refused: float
    failed: float
    p99_ms: float | None
    connections: int
    connects: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run. Latencies are those of successes, in milliseconds; all else is in seconds.

    `refused` were told to come back later (503 with Retry-After), the slowest after `refused_ms`. `wrong` are
    successes whose work is not there, or is there twice, None where nobody can tell. `longest_gap` is the longest
    time without a success while requests were sent. `healthy_after` counts from the end of the fault to the last
    request that did not succeed; None where there was no end of it. `connects_at_once` is how many connects were under
    way at the same moment, from the first byte until the server let the client in, None where encryption hides that;
    `connects_in_100_ms` are all that began within 100 ms, however short. `slots_left` is what the pool could still
    give, None where the service had ended. `more` is what only this scenario measures, `trouble` when the fault began
    and ended, on the clock of the `curve`.
    """

    stack: str
    requests: int
    ok: int
    refused: int
    failed: int
    wrong: int | None
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused_ms: float
    longest_gap: float
    healthy_after: float | None
    connections_peak: int
    connects: int
    connects_at_once: int | None
    connects_in_100_ms: int
    backends_left: int
    slots: int
    slots_left: int | None
    behind_ms: float
    books: Books | None
    by_error: dict[str, int]
    causes: tuple[str, ...]
    more: dict[str, float]
    trouble: tuple[float, float]
    curve: tuple[Point, ...]

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON."""
        return asdict(self)


def figures_of(seen: Observed, more: dict[str, float]) -> Figures:
    kinds = Counter(each.kind for each in seen.outcomes)
    ok = sorted(each.seconds for each in seen.outcomes if each.kind == "ok")
    refused = [each.seconds for each in seen.outcomes if each.kind == "refused"]
    return Figures(
        stack=seen.stack,
        requests=len(seen.outcomes) - kinds["left"],
        ok=kinds["ok"],
        refused=kinds["refused"],
        failed=kinds["failed"],
        wrong=None if seen.books is None else seen.books.wrong,
        p50_ms=_ms(quantile(ok, 0.5)),
        p99_ms=_ms(quantile(ok, 0.99)),
        max_ms=_ms(max(ok, default=0.0)),
        refused_ms=_ms(max(refused, default=0.0)),
        longest_gap=round(_longest_gap(seen.outcomes), 3),
        healthy_after=_healthy_after(seen),
        connections_peak=max((sample.connections for sample in seen.samples), default=0),
        connects=seen.samples[-1].connects - seen.samples[0].connects if seen.samples else 0,
        connects_at_once=None if any(each.encrypted for each in seen.connecting) else most_at_once(seen.connecting),
        connects_in_100_ms=_most_within_window(seen.samples),
        backends_left=seen.backends_left,
        slots=seen.connections,
        slots_left=None if seen.in_use is None else seen.connections - seen.in_use,
        behind_ms=_ms(seen.behind),
        books=seen.books,
        by_error=_by_error(seen.outcomes),
        causes=seen.causes,
        more={name: round(value, 3) for name, value in more.items()},
        trouble=(round(max(0.0, seen.marks["fault"]), 3), round(max(0.0, seen.marks["over"]), 3)),
        curve=tuple(_curve(seen)),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _longest_gap(outcomes: Sequence[Outcome]) -> float:
    """Between successes, from the first request until the last one was due."""
    if not outcomes:
        return 0.0
    due = [each.due for each in outcomes]
    first, last = min(due), max(due)
    ends = sorted(each.end for each in outcomes if each.kind == "ok")
    return max(after - before for before, after in pairwise([first, *ends, max([last, *ends])]))


def _healthy_after(seen: Observed) -> float | None:
    over = seen.marks["over"]
    last = max((each.due for each in seen.outcomes), default=0.0)
    bad = [each.due for each in seen.outcomes if each.kind in {"refused", "failed"} and each.end > over]
    if not bad:
        return 0.0
    return None if max(bad) > last - _LASTING else round(max(0.0, max(bad) - over), 3)


def _most_within_window(samples: Sequence[Sample]) -> int:
    """The most connects between two samples that are at most a window apart."""
    most, first = 0, 0
    for sample in samples:
        while sample.at - samples[first].at > _WINDOW:
            first += 1
        most = max(most, sample.connects - samples[first].connects)
    return most


def _by_error(outcomes: Sequence[Outcome]) -> dict[str, int]:
    found = Counter(each.error or "" for each in outcomes if each.kind in {"refused", "failed"})
    return dict(sorted(found.items()))


def _curve(seen: Observed) -> list[Point]:
    last = max((each.end for each in seen.outcomes), default=0.0)
    return [_point(seen, number * _STEP) for number in range(int(last / _STEP) + 1)]


def _point(seen: Observed, at: float) -> Point:
    ended = Counter(each.kind for each in seen.outcomes if at <= each.end < at + _STEP)
    begun = sorted(each.seconds for each in seen.outcomes if at <= each.due < at + _STEP and each.kind != "left")
    samples = [sample for sample in seen.samples if at <= sample.at < at + _STEP]
    ok, refused, failed = (ended[kind] / _STEP for kind in ("ok", "refused", "failed"))
    p99 = _ms(quantile(begun, 0.99)) if begun else None
    connections = max((sample.connections for sample in samples), default=0)
    connects = samples[-1].connects - samples[0].connects if samples else 0
    return Point(at, ok, refused, failed, p99, connections, connects)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
