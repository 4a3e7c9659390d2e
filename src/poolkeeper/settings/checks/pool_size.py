"""Pool sizes stay in the range that fits one process, and act at all."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.policy.sizing import LARGEST_POOL, SMALLEST_POOL, overflow_is_usual
from poolkeeper.settings.checks.case import Case

_SIZES = ("pool_size", "max_overflow")
_OF_A_QUEUE = ("min_idle", "max_waiting")
_SOURCE = "safe range of this library"


def check(case: Case) -> Iterator[Finding]:
    without = _OF_A_QUEUE if case.settings.pool == "null" else (*_SIZES, *_OF_A_QUEUE)
    given = [name for name in without if name in case.given]
    if case.settings.pool == "queue":
        yield from _sizes(case)
    elif given:
        yield _ignored(case, given)


def _sizes(case: Case) -> Iterator[Finding]:
    given = case.given.keys() & _SIZES
    size, overflow = case.settings.pool_size, case.settings.max_overflow
    if "pool_size" in given and not SMALLEST_POOL <= size <= LARGEST_POOL:
        yield Finding(
            "pool-size-unusual",
            Severity.WARNING,
            "pool_size",
            f"{size} connections per process",
            "fewer let a short burst queue, more rarely make a database faster: it has only so many cores",
            f"Choose {SMALLEST_POOL} to {LARGEST_POOL} per process, and measure",
            _SOURCE,
        )
    if given and not overflow_is_usual(size, overflow):
        yield Finding(
            "overflow-unusual",
            Severity.WARNING,
            "max_overflow",
            f"max_overflow {overflow}, pool_size {size}",
            "overflow opens under load, when connecting is slowest; a little is no relief, much is a larger pool",
            f"Choose 0, or {-(-size // 2)} to {size}",
            _SOURCE,
        )


def _ignored(case: Case, given: list[str]) -> Finding:
    why = (
        "an in-memory database lives in one connection" if case.settings.pool == "static" else "this pool keeps nothing"
    )
    return Finding(
        "pool-size-without-effect",
        Severity.WARNING,
        given[0],
        f"{' and '.join(given)} given, with pool {case.settings.pool}",
        why,
        f"Remove {' and '.join(given)}" + ("" if case.settings.pool == "static" else ", or set pool to queue"),
    )
