"""The server ended statements because transactions waited for each other."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import cut, duration, fit, number, statement
from poolkeeper.model import Confidence, Finding, Severity

# One now and then belongs to concurrent transactions, and their authors retry; so many are a pattern.
SEVERAL = 3


def check(case: Case) -> Iterator[Finding]:
    before, now = case.window[0].deadlocks, case.now.deadlocks
    # A single moment tells of everything since the pool was made.
    count = now.count - before.count if len(case.window) > 1 else now.count
    if count <= 0:
        return
    within = f" within {duration(case.overall.seconds)}" if case.overall.seconds > 0 else ""
    who = " at ".join(part for part in (now.route, now.site) if part)
    counted = f"{number(count, 'statement')} ended by the server to break a deadlock{within}"
    by = f" by {who}" if who else ""
    yield Finding(
        code="deadlocks",
        severity=Severity.WARNING if count >= SEVERAL else Severity.INFO,
        subject=cut(now.route or now.site or case.name),
        seen=fit(f"{counted}; the latest: {statement(now.statement)}{by}", f"{counted}; the latest{by}"),
        why="transactions lock the same rows in different orders; each holds a connection until the server notices",
        fix="Lock rows in one order (sort by key, or SELECT ... FOR UPDATE first), keep transactions short, and retry",
        confidence=Confidence.CERTAIN,
        figures={"deadlocks": count, "seconds": round(case.overall.seconds, 1)}
        | {name: text for name in ("statement", "route", "site") if (text := getattr(now, name))},
        unseen=("the other transaction: the server's log names both",),
    )
