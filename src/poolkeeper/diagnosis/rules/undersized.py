"""The load needs more connections than the pool may have, although each is held shortly."""

from __future__ import annotations

import math
from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case, is_full
from poolkeeper.diagnosis.thresholds import NOTICEABLE_WAIT
from poolkeeper.diagnosis.words import cut, duration
from poolkeeper.model import Confidence, Finding, ServerFacts, Severity

# Of the snapshots in which the pool is full: less than this is a peak.
FULL_SHARE = 0.6
FEWEST_SNAPSHOTS = 3
# Callers who wait for longer than others hold: they stand in a queue.
WAIT_PER_HOLD = 2.0
# Times that each connection was given back: with less nobody knows yet how long holds are.
FEWEST_HOLDS = 3
# Queues grow steeply above this utilisation.
TARGET_UTILISATION = 0.7
_LARGEST = 1e6


def check(case: Case) -> Iterator[Finding]:
    change, capacity = case.lately, case.now.capacity
    if capacity is None or not is_full(case.moment) or not (_is_full_lately(case) and _queues(case)):
        return
    hold, rate = change.timings.holds.mean, change.rate
    if change.seconds > 0 and not change.unserved and change.totals.returned < FEWEST_HOLDS * capacity:
        return
    needed = min(_LARGEST, rate * hold) if rate is not None and hold is not None else None
    yield Finding(
        code="undersized-pool",
        severity=Severity.ERROR if needed is not None else Severity.WARNING,
        subject=case.name,
        seen=cut(_seen(case, needed)),
        why="rate x hold is how many connections are busy at once (Little's law); the rest of the callers queue",
        fix=_fix(capacity, needed, case.facts),
        confidence=Confidence.POSSIBLE if needed is None or not case.tells_waiting else Confidence.LIKELY,
        figures=_figures(case, needed),
        unseen=case.blind(rates=True),
    )


def _is_full_lately(case: Case) -> bool:
    full = sum(is_full(snapshot) for snapshot in case.recent)
    # Two moments are no history; the last one has to do.
    return len(case.recent) < FEWEST_SNAPSHOTS or full >= FULL_SHARE * len(case.recent)


def _queues(case: Case) -> bool:
    timings, now = case.lately.timings, case.now
    if not case.tells_waiting:
        return len(case.recent) >= FEWEST_SNAPSHOTS
    wait, hold = timings.waits.mean or 0.0, timings.holds.mean or 0.0
    if case.lately.unserved or (timings.waits.quantile(0.95) or 0.0) >= NOTICEABLE_WAIT:
        return True
    return now.waiting > 0 and (wait >= WAIT_PER_HOLD * hold > 0 or case.lately.seconds <= 0)


def _seen(case: Case, needed: float | None) -> str:
    now, change = case.now, case.lately
    queue = f"{now.waiting} waiting, " if case.tells_waiting else ""
    if needed is None:
        return f"all {now.capacity} connections in use, {queue}and no holder out of the ordinary"
    return (
        f"{change.rate or 0.0:.1f} requests/s x {duration(change.timings.holds.mean)} hold = {needed:.1f} connections"
        f" needed of {now.capacity}; {queue}p95 wait {duration(change.timings.waits.quantile(0.95))}"
    )


def _fix(capacity: int, needed: float | None, facts: ServerFacts | None) -> str:
    size = max(capacity + 1, math.ceil((needed or 0.0) / TARGET_UTILISATION))
    free = None
    if facts is not None and facts.ordinary.limit is not None:
        free = facts.ordinary.limit - facts.ordinary.used
    if free is not None and free < size - capacity:
        return f"Shorten the holds or put a pooler in front: the server has only {max(0, free)} connections left"
    room = f" (the server has {free} free)" if free is not None else ", if server and CPU have room"
    return f"Shorten the holds, or raise pool_size to about {size} per process{room}"


def _figures(case: Case, needed: float | None) -> dict[str, float | str]:
    change = case.lately
    figures: dict[str, float | None] = {
        "capacity": case.now.capacity,
        "waiting": case.now.waiting,
        "needed": needed,
        "rate_per_second": change.rate,
        "hold_seconds": change.timings.holds.mean,
        "wait_p95_seconds": change.timings.waits.quantile(0.95),
        "unserved": change.unserved,
    }
    return {name: round(value, 4) for name, value in figures.items() if value is not None}
