"""Blocking code keeps the event loop from running, and with it everything else."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import cut, duration, percent
from poolkeeper.model import Confidence, Finding, LoopLag, Severity

# Measured: p95 0.43 s with a blocking call, 0.001 s with every other cause.
LATE = 0.25
# Less often it is an accident: a start, an import, a busy machine.
AGAIN_AND_AGAIN = 3
# A loop that is late for this share of the time is blocked again and again; one pause may be an accident.
BLOCKED_SHARE = 0.1
# Unless it is this long: then everybody has noticed.
STANDSTILL = 1.0


def check(case: Case) -> Iterator[Finding]:
    lag = case.now.loop_lag
    if lag is None:
        return
    often = _is_often_late(case)
    # An accident that nobody waits for is none of ours.
    paused = lag.recent >= (LATE if case.pressed else STANDSTILL)
    if not (often or paused):
        return
    p95 = case.lately.lags.quantile(0.95)
    at = f" at {lag.blocked_at}" if lag.blocked_at else ""
    grave = often or lag.recent >= STANDSTILL or (case.lately.seconds <= 0 and case.pressed)
    yield Finding(
        code="event-loop-blocked",
        severity=Severity.ERROR if grave else Severity.WARNING,
        subject=lag.blocked_at or case.name,
        seen=cut(
            f"the event loop was up to {duration(_worst(lag, p95))} late{_share(case)}; blocked{at or ' somewhere'}"
        ),
        why="nothing runs meanwhile: connections that are free are not given back and answers that are there not read",
        fix="Move the blocking call off the loop (asyncio.to_thread, a `def` endpoint, or an async library)",
        confidence=Confidence.CERTAIN if often else Confidence.LIKELY,
        figures=_figures(case, lag, p95),
        unseen=() if lag.blocked_at else ("the blocking line: it was not caught",),
    )


def _is_often_late(case: Case) -> bool:
    """Many short lags are a busy process, and long ones for want of a CPU a busy machine: no blocking call."""
    p95 = case.lately.lags.quantile(0.95) or 0.0
    return case.lately.late >= AGAIN_AND_AGAIN and (p95 >= LATE or _late_share(case) >= BLOCKED_SHARE)


def _late_share(case: Case) -> float:
    change = case.lately
    return min(1.0, change.lags.total / change.seconds) if change.seconds > 0 else 0.0


def _share(case: Case) -> str:
    share = _late_share(case)
    return f", {percent(share)} of the time" if share >= BLOCKED_SHARE else ""


def _worst(lag: LoopLag, p95: float | None) -> float:
    return max(lag.recent, p95 or 0.0)


def _figures(case: Case, lag: LoopLag, p95: float | None) -> dict[str, float | str]:
    figures: dict[str, float | str] = {
        "recent_seconds": round(lag.recent, 3),
        "late_share": round(_late_share(case), 3),
    }
    if p95 is not None:
        figures["p95_seconds"] = round(p95, 3)
    return figures | ({"site": lag.blocked_at} if lag.blocked_at else {})
