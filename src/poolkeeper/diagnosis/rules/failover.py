"""A wave of connections was closed on the server's word: a restart or a failover."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import cut, number
from poolkeeper.model import CloseReason, Confidence, Finding, Severity

# One session may be ended by a person; a wave ends most of those that were open.
_WAVE = 0.5
_LEAST = 2
_REASONS = (CloseReason.SQLSTATE, CloseReason.SOCKET)


def check(case: Case) -> Iterator[Finding]:
    closed = sum(case.lately.closed.get(reason, 0) for reason in _REASONS)
    said = case.lately.closed.get(CloseReason.SQLSTATE, 0)
    were_open = max(snapshot.open for snapshot in case.recent)
    if said < 1 or closed < max(_LEAST, _WAVE * were_open):
        return
    readonly = case.facts is not None and case.facts.in_recovery is True
    now = "; the server is in recovery: a replica that takes no writes" if readonly else ""
    yield Finding(
        code="failover",
        severity=Severity.ERROR if case.waits or readonly else Severity.WARNING,
        subject=case.name,
        seen=cut(f"{number(closed, 'connection')} closed within {case.lately.seconds:.0f} s on the server's word{now}"),
        why="the server ended its sessions or became read-only: a restart, a failover, or an administrator",
        fix="Let the URL find the writer (target_session_attrs=read-write, all hosts); the pool reconnects by itself",
        confidence=Confidence.CERTAIN if readonly else Confidence.LIKELY,
        figures={"closed": closed, "by_sqlstate": said, "open_before": were_open},
        unseen=case.blind(),
    )
