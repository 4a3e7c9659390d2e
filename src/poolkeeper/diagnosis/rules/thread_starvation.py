"""Blocking endpoints wait for a thread, before they ask for a connection."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case, is_full
from poolkeeper.diagnosis.words import cut, number
from poolkeeper.model import Confidence, Finding, PoolSnapshot, Severity, Threads

# Of the last moments: less than this is a peak, which threads are limited for.
LASTING_SHARE = 0.6
FEWEST_SNAPSHOTS = 3


def check(case: Case) -> Iterator[Finding]:
    threads = case.now.threads
    # Threads that wait for a connection are what a full pool looks like; what fills it is told by others.
    if threads is None or not threads.is_exhausted or is_full(case.now):
        return
    lasts = _lasts(case)
    capacity = case.now.capacity
    of = "" if capacity is None else f" of {capacity}"
    at = f", {threads.there} of them at {threads.site}" if threads.site else ""
    yield Finding(
        code="thread-starvation",
        severity=Severity.ERROR if lasts else Severity.WARNING,
        subject=threads.site or case.name,
        seen=cut(
            f"{threads.busy} of {threads.limit} threads busy{at}; {number(threads.waiting, 'call')} waiting for one,"
            f" while the pool has {case.now.in_use}{of} connections in use"
        ),
        why="`def` endpoints and dependencies share these threads: who gets none stands still, whatever the pool has",
        fix=_fix(threads, case.now),
        confidence=Confidence.CERTAIN if lasts else Confidence.POSSIBLE,
        figures=_figures(threads, case.now),
        unseen=() if threads.site else ("what the threads are at",),
    )


def _lasts(case: Case) -> bool:
    starved = sum(one.threads is not None and one.threads.is_exhausted for one in case.recent)
    return len(case.recent) >= FEWEST_SNAPSHOTS and starved >= LASTING_SHARE * len(case.recent)


def _fix(threads: Threads, now: PoolSnapshot) -> str:
    shorten = "Shorten what blocks there, or make it `async`"
    if now.capacity is None or threads.limit is None or threads.limit < now.capacity:
        size = "" if now.capacity is None else f" up to the pool's {now.capacity} connections"
        return f"{shorten}; or raise current_default_thread_limiter().total_tokens{size}"
    return f"{shorten}; more threads than the pool's {now.capacity} connections would only move the queue"


def _figures(threads: Threads, now: PoolSnapshot) -> dict[str, float | str]:
    figures: dict[str, float | str | None] = {
        "busy": threads.busy,
        "limit": threads.limit,
        "waiting": threads.waiting,
        "in_use": now.in_use,
        "capacity": now.capacity,
        "site": threads.site,
    }
    return {name: value for name, value in figures.items() if value is not None}
