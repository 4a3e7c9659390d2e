"""A task that has a connection waits for another: when all do, nobody ever goes on."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.NESTED)
    if group is None:
        return
    waits_at = group.typical.holder.waits_at or ""
    yield group.finding(
        "nested-checkout",
        f"{group.counted} held by {group.place}, whose task waits for a second one at {waits_at}",
        "each keeps what the others wait for; once all connections are held so, only a refusal or pool_timeout ends it",
        "Pass the session down instead of opening a second one, or end the first before",
        Confidence.CERTAIN,
        waits_at=waits_at,
        pool_timeout=case.now.pool_timeout,
    )
