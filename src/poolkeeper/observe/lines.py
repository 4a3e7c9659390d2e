"""What the journal says, and how often it may."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

Value = str | int | float | bool

_MOST_SUBJECTS = 256


class Topic(StrEnum):
    """Which child of the logger "poolkeeper" a line goes to."""

    POOL = "pool"
    CHECKOUT = "checkout"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log: a sentence, and the same as flat fields.

    `event` names what happened ("pool_saturated"). `subject` is what it is about, for the rate limit; it must not be a
    name that is new each time.
    """

    topic: Topic
    event: str
    message: str
    fields: Mapping[str, Value] = field(default_factory=dict[str, Value])
    subject: Hashable = None

    def extra(self) -> dict[str, Value]:
        """The fields for `logging`'s argument `extra`."""
        return {"event": self.event, **self.fields}


def known(**fields: Value | None) -> dict[str, Value]:
    """The fields that have a value, numbers of seconds to the millisecond."""
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in fields.items()
        if value is not None
    }


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    suppressed: int = 0


class RateLimit:
    """A token bucket for each event and subject: `burst` lines at once, then one every `per` seconds."""

    def __init__(self, burst: int, per: float) -> None:
        self._burst, self._per = burst, per
        self._buckets: dict[Hashable, _Bucket] = {}

    def admit(self, line: Line, at: float) -> Line | None:
        """The line if it may be said at this moment, with the number of those that were suppressed before it."""
        bucket = self._bucket((line.event, line.subject), at)
        bucket.tokens = min(float(self._burst), bucket.tokens + (at - bucket.at) / self._per)
        bucket.at = at
        if bucket.tokens < 1:
            bucket.suppressed += 1
            return None
        bucket.tokens -= 1
        suppressed, bucket.suppressed = bucket.suppressed, 0
        if not suppressed:
            return line
        return replace(
            line,
            message=f"{line.message} (suppressed {suppressed} like this before it)",
            fields={**line.fields, "suppressed": suppressed},
        )

    def _bucket(self, key: Hashable, at: float) -> _Bucket:
        if (found := self._buckets.get(key)) is not None:
            return found
        if len(self._buckets) >= _MOST_SUBJECTS:
            # Those that nothing was said about for longest.
            for old in sorted(self._buckets, key=lambda other: self._buckets[other].at)[: _MOST_SUBJECTS // 2]:
                del self._buckets[old]
        return self._buckets.setdefault(key, _Bucket(float(self._burst), at))
