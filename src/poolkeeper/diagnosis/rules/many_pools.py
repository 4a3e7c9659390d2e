"""One process has many pools for the same database: an engine is made where one should be used again."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import cut, duration
from poolkeeper.model import Confidence, Finding, Pools, Severity

# A pool for asyncio, one for threads, one for a job beside them: a few are meant.
MANY = 10
# Those that become more while one looks on are not.
RISING_BY = 3


def check(case: Case) -> Iterator[Finding]:
    pools = case.now.pools
    if pools is None:
        return
    first = next((one.pools for one in case.window if one.pools is not None), pools)
    rise = pools.count - first.count
    if pools.count < MANY and rise < RISING_BY:
        return
    refused = case.trouble is not None and case.trouble.kind == "too-many-connections"
    grown = f", {rise} more than {duration(case.overall.seconds)} ago" if rise >= RISING_BY else ""
    limit = "without a limit" if pools.capacity is None else f"of {pools.capacity} that they may open"
    failing = f"; {case.trouble.seen}" if case.trouble is not None and refused else ""
    yield Finding(
        code="engine-per-request",
        severity=Severity.ERROR if refused else Severity.WARNING,
        subject=case.name,
        seen=cut(
            f"{pools.count} pools of this process lead to the same database{grown}; {pools.open} connections open,"
            f" {limit}{failing}"
        ),
        why="each pool keeps connections of its own, so no limit holds, and nobody takes one that is free elsewhere",
        fix="Make one engine (or Database) per process, when it starts, and hand that to requests and tasks",
        confidence=Confidence.CERTAIN if rise >= RISING_BY else Confidence.LIKELY,
        figures=_figures(pools, rise),
        unseen=("pools that are not observed", "where they are made"),
    )


def _figures(pools: Pools, rise: int) -> dict[str, float | str]:
    figures: dict[str, float | str] = {"pools": pools.count, "open": pools.open, "risen_by": rise}
    return figures if pools.capacity is None else figures | {"capacity": pools.capacity}
