"""How a quantity is written, and what it may be. Durations have a unit, because 50 may mean seconds or milliseconds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, get_args

from poolkeeper.facts import PROVIDERS, Pooler
from poolkeeper.model import Histogram

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_DURATION = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)\s*")
_PERCENT = re.compile(rf"\s*({_NUMBER})\s*%\s*")
_BEYOND = "more"


@dataclass(frozen=True, slots=True)
class Surge:
    """Pods that a rolling deploy starts before it stops others: a number, or a share of those that run."""

    pods: int = 0
    share: float = 0.0

    def of(self, running: int) -> int:
        """How many that is. A share is rounded up, as Kubernetes does."""
        return self.pods + math.ceil(round(self.share * running, 9))

    def __str__(self) -> str:
        return f"{100 * self.share:g}%" if self.share else str(self.pods)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One kind of value: what is needed in words, how it is read, and which numbers it takes.

    `read` raises ValueError for what is not of this kind; `takes` says whether a value of the kind may be.
    """

    needed: str
    read: Callable[[object], Any]
    takes: Callable[[Any], bool]


def number(value: object) -> float:
    """A number, also written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _not_so("not a number")
    return float(value)


def whole(value: object) -> int:
    """A whole number, also written as text."""
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _not_so("not a whole number")
    return value


def duration(value: object) -> float:
    """Seconds, from a text such as 50ms, 1.5s or 2m."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2] not in _UNITS:
        raise _not_so("not a duration")
    return float(found[1]) * _UNITS[found[2]]


def in_words(seconds: float) -> str:
    """A duration as people write it: 50ms, 1.5s, 90s."""
    for unit, length in (("us", 1e-6), ("ms", 1e-3)):
        if 0 < seconds < 999.5 * length:
            return f"{seconds / length:.3g}{unit}"
    return f"{seconds:.4g}s"


def share(value: object) -> float:
    """A share of one, from 0.25 or 25%."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) / 100 if found else number(value)


def surge(value: object) -> Surge:
    """A number of pods, or a share such as 25%."""
    if isinstance(value, str) and "%" in value:
        return Surge(share=share(value))
    return Surge(pods=whole(value))


def text(value: object) -> str:
    """A text."""
    if not isinstance(value, str):
        raise _not_so("not a text")
    return value


def yes_or_no(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _not_so("neither true nor false")
    return value


def histogram(value: object) -> Histogram:
    """Durations in buckets, from a table of upper bounds and counts; `more` counts those above the last bound.

    Where in its bucket a duration lies is not known: the mean is taken as if they were spread evenly.
    """
    if not _is_table(value):
        raise _not_so("not a table")
    counted = {duration(bound): whole(count) for bound, count in value.items() if bound != _BEYOND}
    bounds = tuple(sorted(counted))
    counts = (*(counted[bound] for bound in bounds), whole(value.get(_BEYOND, 0)))
    if not bounds or sum(counts) <= 0:
        raise _not_so("nothing counted")
    middles = [(low + high) / 2 for low, high in zip((0.0, *bounds), (*bounds, bounds[-1]), strict=True)]
    return Histogram(counts, sum(n * middle for n, middle in zip(counts, middles, strict=True)), bounds)


def _not_so(what: str) -> ValueError:
    # One kind of error for all that is wrong with what people write, of the wrong type or not.
    return ValueError(what)


def _is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def _within(low: float, high: float) -> Callable[[float], bool]:
    # No comparison with a NaN is true.
    return lambda value: low <= value <= high


_MODES = tuple(mode for mode in get_args(Pooler) if mode != "none")
_SHORTEST, _LONGEST = 1e-6, 86_400.0
_MOST = 1_000_000

NAME = Quantity("a name of at most 40 characters", text, lambda value: 0 < len(value) <= 40)
RATE = Quantity("a number above 0, from 0.001 to 1e9", number, _within(0.001, 1e9))
FACTOR = Quantity("a number from 1 to 1000", number, _within(1, 1000))
SHARE = Quantity("a share above 0 and at most 1, such as 0.8 or 80%", share, _within(1e-6, 1))
HEADROOM = Quantity("a share from 0 to 0.9, such as 0.2 or 20%", share, _within(0, 0.9))
DURATION = Quantity(
    "a duration with its unit, such as 50ms, 1.5s or 2m, from 1us to 24h", duration, _within(_SHORTEST, _LONGEST)
)
DURATION_OR_ZERO = Quantity(
    "a duration with its unit, such as 500us, 1ms or 0s, at most 24h", duration, _within(0, _LONGEST)
)
COUNT = Quantity("a whole number from 1 to 1000000", whole, _within(1, _MOST))
COUNT_OR_ZERO = Quantity("a whole number from 0 to 1000000", whole, _within(0, _MOST))
SURGE = Quantity(
    "a whole number of pods, or a share of at most 100%",
    surge,
    lambda value: _within(0, _MOST)(value.pods) and _within(0, 1)(value.share),
)
YES_OR_NO = Quantity("true or false", yes_or_no, lambda _: True)
MODE = Quantity(f"one of {', '.join(_MODES)}", text, lambda value: value in _MODES)
PROVIDER = Quantity(f"one of {', '.join(PROVIDERS)}", text, lambda value: value in PROVIDERS)
HISTOGRAM = Quantity(
    'a table of upper bounds and counts, such as { "10ms" = 900, "100ms" = 95, more = 5 }',
    histogram,
    lambda value: (
        value.count > 0 and min(value.counts) >= 0 and all(_within(_SHORTEST, _LONGEST)(one) for one in value.bounds)
    ),
)
