"""A task that has a connection asks for another: when all do, nobody ever goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.group import Group
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.thresholds import DOMINANT, LATELY, NOTICEABLE_WAIT
from poolkeeper.diagnosis.words import cut, duration, fit, name_of, number, place_of
from poolkeeper.model import Confidence, Finding, Holder, NestedCheckouts, RefusalReason, Severity

_WHY = "each keeps what the others wait for; "
_FIX = "Pass the session down instead of opening a second one, or end the first before"
_SITE_LENGTH = 70


@dataclass(frozen=True, slots=True)
class _Calls:
    """Second checkouts that were not served at once, lately; `futile` ones were refused to break a deadlock."""

    waited: int
    refused: int
    futile: int
    latest: Holder

    @property
    def number(self) -> int:
        return self.waited + self.refused


def check(case: Case) -> Iterator[Finding]:
    group, calls = case.group(Plight.NESTED), _calls(case)
    is_stuck = group is not None and group.severity is Severity.ERROR
    if calls is not None and (calls.refused or not is_stuck):
        yield _told_of_calls(case, calls, group)
    elif group is not None:
        yield _told_of_holders(case, group)


def _calls(case: Case) -> _Calls | None:
    # A single moment tells of everything since the pool was made.
    now, before = case.now.nested, case.recent[0].nested if len(case.recent) > 1 else NestedCheckouts()
    if now.latest is None or case.now.at - now.at > LATELY:
        return None
    refused = {reason: max(0, count - before.refused.get(reason, 0)) for reason, count in now.refused.items()}
    futile = refused.get(RefusalReason.NOBODY_RETURNS, 0)
    calls = _Calls(max(0, now.waited - before.waited), sum(refused.values()), futile, now.latest)
    return calls if calls.number else None


def _told_of_calls(case: Case, calls: _Calls, group: Group | None) -> Finding:
    holder, change = calls.latest, case.lately
    ends = f"{number(calls.refused, 'second checkout')} refused" if calls.refused else ""
    waits = f"{calls.waited} had to wait" if ends else f"{number(calls.waited, 'second checkout')} had to wait"
    counted = ", ".join(part for part in (ends, waits if calls.waited else "") if part)
    within = f" within {duration(change.seconds)}" if change.seconds > 0 else ""
    site, second = cut(holder.site or "?", _SITE_LENGTH), cut(holder.waits_at or "?", _SITE_LENGTH)
    figures = {"refused": calls.refused, "waited": calls.waited, "route": holder.route, "site": holder.site}
    waiting = {} if group is None else {"connections": len(group.members), "in_use": group.in_use}
    return Finding(
        code="nested-checkout",
        severity=Severity.ERROR if _explains(case, calls, group) else Severity.WARNING,
        subject=holder.route or (cut(holder.site) if holder.site else name_of(holder)),
        seen=fit(
            f"{counted}{within}; latest: {place_of(holder)} asked for another at {second}",
            f"{counted}; latest: {place_of(holder)}, then at {second}",
            f"{counted}; first at {site}, second at {second}",
        ),
        why=f"{_WHY}who would close such a circle, or wait too long, is refused at once",
        fix=_FIX,
        confidence=Confidence.CERTAIN,
        figures={
            name: value
            for name, value in (figures | {"waits_at": holder.waits_at} | waiting).items()
            if value is not None
        },
    )


def _explains(case: Case, calls: _Calls, group: Group | None) -> bool:
    """Whether they are why callers were let down, or had to wait noticeably."""
    if calls.futile or (group is not None and group.severity is Severity.ERROR):
        return True
    change = case.lately
    if calls.refused >= DOMINANT * change.unserved > 0:
        return True
    hurts = change.unserved or (change.timings.waits.quantile(0.95) or 0.0) >= NOTICEABLE_WAIT
    return bool(hurts) and calls.number >= DOMINANT * (change.totals.waited + change.totals.refused)


def _told_of_holders(case: Case, group: Group) -> Finding:
    holder = group.typical.holder
    waits_at = holder.waits_at or ""
    site, second = cut(holder.site or "?", _SITE_LENGTH), cut(waits_at, _SITE_LENGTH)
    return group.finding(
        "nested-checkout",
        fit(
            f"{group.counted} held by {group.place}, which waits for another at {second}",
            f"{group.counted}; first at {site}, waits at {second}",
        ),
        f"{_WHY}once all connections are held so, only a refusal or pool_timeout ends it",
        _FIX,
        Confidence.CERTAIN,
        waits_at=waits_at,
        pool_timeout=case.now.pool_timeout,
    )
