"""A pool's numbers, holders, history and settings, and its replicas, as JSON. No DSN, no parameter of a statement."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import cast

from poolkeeper.model import Histogram, Holder, LoopLag, PoolSnapshot, ReplicaView
from poolkeeper.settings.effective import EffectiveSettings, OriginKind
from poolkeeper.settings.masking import MASK, is_mapping, masked_text

# More than anybody reads; what matters of them is in the numbers and the findings.
_MOST_HOLDERS = 100
_NUMBERS = (
    "name",
    "capacity",
    "in_use",
    "idle",
    "connecting",
    "checking",
    "waiting",
    "opened",
    "oldest_waiter",
    "saturated",
)
_OF_REPLICA = ("name", "standing", "role", "weight", "lag", "lag_bytes", "sessions", "conflicts", "moved", "is_primary")
_OF_POOL = ("in_use", "idle", "waiting", "capacity")


def pool_view(snapshot: PoolSnapshot, window: Sequence[PoolSnapshot]) -> dict[str, object]:
    """One moment and the time before it."""
    trouble = snapshot.connect_trouble
    return {
        "pool": {name: getattr(snapshot, name) for name in _NUMBERS},
        "unknown": sorted(snapshot.unknown),
        "totals": asdict(snapshot.totals),
        "timings": {name: _times(getattr(snapshot.timings, name)) for name in snapshot.timings.__dataclass_fields__},
        "closed": {str(reason): count for reason, count in snapshot.closed.items()},
        "trouble": asdict(trouble) | {"message": masked_text(trouble.message)} if trouble else None,
        "loop_lag": _lag(snapshot.loop_lag),
        "holders": [_holder(holder) for holder in snapshot.holders[:_MOST_HOLDERS]],
        "more_holders": max(0, len(snapshot.holders) - _MOST_HOLDERS),
        "history": history_view(window),
    }


def replica_view(replica: ReplicaView) -> dict[str, object]:
    """One replica. Why it was not reached names its host, so that is left to the findings."""
    pool = replica.pool
    return {name: getattr(replica, name) for name in _OF_REPLICA} | {name: getattr(pool, name) for name in _OF_POOL}


def history_view(window: Sequence[PoolSnapshot]) -> dict[str, list[float | None]]:
    """The last minutes as columns of equal length; `at` in seconds since 1970.

    `wait` is what 95 % of those served since the point before waited at most, or how long the first in line has been
    waiting, whichever is more; None where nobody asked. `served` is per second.
    """
    offset = time.time() - time.monotonic()
    pairs = list(pairwise(window))
    return {
        "at": [round(now.at + offset, 2) for _, now in pairs],
        "in_use": [now.in_use for _, now in pairs],
        "open": [now.open for _, now in pairs],
        "waiting": [now.waiting for _, now in pairs],
        "wait": [_wait(before, now) for before, now in pairs],
        "served": [_per_second(before, now) for before, now in pairs],
    }


def shown_settings(settings: EffectiveSettings) -> list[dict[str, object]]:
    """Each setting, its value as a text, who decided it, and whether that was somebody."""
    return [
        {
            "name": name,
            "value": _shown(settings, name, value),
            "origin": str(settings.origins[name]),
            "default": settings.origins[name].kind is OriginKind.DEFAULT,
        }
        for name, value in settings.shown().items()
    ]


def _shown(settings: EffectiveSettings, name: str, value: object) -> str:
    if name == "url":
        return settings.url.scheme
    if name == "replica_urls":
        return str(len(settings.replica_urls))
    if is_mapping(value):
        return ", ".join(f"{key}={_harmless(item)}" for key, item in value.items()) or "none"
    return _plain(value)


def _harmless(value: object) -> str:
    """Drivers take hosts, users and passwords as options, too."""
    return _plain(value) if isinstance(value, bool | int | float | None) else MASK


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in cast("list[object]", value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def _times(histogram: Histogram) -> dict[str, float | None]:
    return {
        "count": histogram.count,
        "mean": histogram.mean,
        "p50": histogram.quantile(0.5),
        "p95": histogram.quantile(0.95),
    }


def _lag(lag: LoopLag | None) -> Mapping[str, object] | None:
    return None if lag is None else {"recent": lag.recent, "blocked_at": lag.blocked_at, **_times(lag.lags)}


def _holder(holder: Holder) -> dict[str, object]:
    return {key: value for key, value in asdict(holder).items() if value is not None and value != ()}


def _wait(before: PoolSnapshot, now: PoolSnapshot) -> float | None:
    served = now.timings.waits.since(before.timings.waits).quantile(0.95)
    known = [seconds for seconds in (served, now.oldest_waiter) if seconds is not None]
    return round(max(known), 5) if known else None


def _per_second(before: PoolSnapshot, now: PoolSnapshot) -> float | None:
    seconds = now.at - before.at
    return round((now.totals.served - before.totals.served) / seconds, 2) if seconds > 0 else None
