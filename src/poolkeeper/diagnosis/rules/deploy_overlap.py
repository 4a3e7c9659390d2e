"""Processes of an earlier deployment still have connections, and the new ones find none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.rules.pooler_full import is_pooler_full
from poolkeeper.diagnosis.thresholds import DOMINANT, MINOR
from poolkeeper.diagnosis.words import cut, duration, number
from poolkeeper.model import Ceiling, ClientName, Confidence, Finding, ServerFacts, ServerSession, Severity

# A pool of ours asks its idle connections every 60 s whether they live; whoever is silent for longer than three times
# that has nobody who would.
SILENT = 180.0
# A ceiling that is so full stops the next pool that grows.
TIGHT = 0.9
FEWEST = 3
# For so long after its start a process may be one of a deployment.
DEPLOYING = 900.0


@dataclass(frozen=True, slots=True)
class Earlier:
    """The sessions of other processes of this service.

    Those of processes that have `ended`, those that are `silent`, and those that are merely older than this process.
    """

    service: str
    ended: tuple[ServerSession, ...]
    silent: tuple[ServerSession, ...]
    older: tuple[ServerSession, ...]

    @property
    def left(self) -> tuple[ServerSession, ...]:
        """What nobody uses any more."""
        return self.ended + self.silent

    @property
    def all(self) -> tuple[ServerSession, ...]:
        return self.left + self.older

    @property
    def processes(self) -> int:
        return len({session.application for session in self.all})


def check(case: Case) -> Iterator[Finding]:
    facts, trouble = case.view.facts, case.trouble
    refused = trouble is not None and trouble.kind == "too-many-connections" and not is_pooler_full(trouble)
    if facts is None or (earlier := _earlier(facts)) is None:
        return
    ceiling = _fullest(facts)
    is_left = len(earlier.left) >= max(FEWEST, MINOR * ceiling.used) and (refused or _is_tight(ceiling))
    if not is_left and not (refused and _is_deployed(earlier, ceiling, facts)):
        return
    grave = is_left and refused and trouble is not None and trouble.severity is Severity.ERROR
    yield Finding(
        code="deploy-overlap",
        severity=Severity.ERROR if grave else Severity.WARNING,
        subject=earlier.service,
        seen=cut(_seen(earlier, ceiling)),
        why=_why(is_left=is_left),
        fix=_fix(is_left=is_left),
        confidence=Confidence.LIKELY if is_left else Confidence.POSSIBLE,
        figures=_figures(earlier, ceiling),
        unseen=_unseen(case, is_left=is_left),
    )


def _earlier(facts: ServerFacts) -> Earlier | None:
    """None where it is not known who we are."""
    own = ClientName.parse(facts.application)
    if own is None:
        return None
    ended: list[ServerSession] = []
    silent: list[ServerSession] = []
    older: list[ServerSession] = []
    for session in facts.sessions:
        name = ClientName.parse(session.application)
        if name is None or name == own or name.service != own.service:
            continue
        if session.client_ended:
            ended.append(session)
        elif _is_silent(session):
            silent.append(session)
        elif (session.session_seconds or 0.0) > (facts.process_seconds or float("inf")):
            older.append(session)
    return Earlier(own.service, tuple(ended), tuple(silent), tuple(older))


def _is_deployed(earlier: Earlier, ceiling: Ceiling, facts: ServerFacts) -> bool:
    """Whether this process is a new one, and those that were there before have most of the connections."""
    is_most = len(earlier.all) >= max(FEWEST, DOMINANT * ceiling.used)
    return is_most and facts.process_seconds is not None and facts.process_seconds <= DEPLOYING


def _is_silent(session: ServerSession) -> bool:
    return (session.state or "").startswith("idle") and (session.state_seconds or 0.0) >= SILENT


def _fullest(facts: ServerFacts) -> Ceiling:
    """Of the limits that hold for us, the one that is nearest."""
    limited = [ceiling for ceiling in (facts.ordinary, facts.role, facts.database) if ceiling.limit is not None]
    return max(limited, key=lambda ceiling: ceiling.used / max(1, ceiling.limit or 0), default=facts.ordinary)


def _is_tight(ceiling: Ceiling) -> bool:
    return ceiling.limit is not None and ceiling.used >= TIGHT * ceiling.limit


def _seen(earlier: Earlier, ceiling: Ceiling) -> str:
    limit = "" if ceiling.limit is None else f" (of {ceiling.limit} allowed)"
    processes = "process" if earlier.processes == 1 else "processes"
    parts = [
        f"{len(earlier.ended)} of processes that have ended" if earlier.ended else "",
        f"{len(earlier.silent)} silent for up to {duration(_longest(earlier.silent))}" if earlier.silent else "",
        f"{len(earlier.older)} opened before this process began" if earlier.older else "",
    ]
    return (
        f"{len(earlier.all)} of {number(ceiling.used, 'connection')}{limit} belong to {earlier.processes} other"
        f" {processes} of {earlier.service}: {', '.join(part for part in parts if part)}"
    )


def _longest(sessions: tuple[ServerSession, ...]) -> float:
    return max((session.state_seconds or 0.0 for session in sessions), default=0.0)


def _why(*, is_left: bool) -> str:
    if is_left:
        return "the server keeps the session of a client that vanished until a keepalive fails: 2 h by default"
    return "while a deployment starts, old and new processes need their connections at the same time"


def _fix(*, is_left: bool) -> str:
    if is_left:
        return (
            "End those sessions (pg_terminate_backend); close pools on shutdown; set tcp_keepalives_idle and"
            " client_connection_check_interval on the server"
        )
    return "Leave room for two generations of pools (pool size x workers x replicas), or drain the old one first"


def _unseen(case: Case, *, is_left: bool) -> tuple[str, ...]:
    hidden = case.blind() if case.facts is not None and case.facts.unseen else ()
    doubt = "a process that hangs, or lives on another host" if is_left else "whether those processes are to stay"
    return (doubt, *hidden)


def _figures(earlier: Earlier, ceiling: Ceiling) -> dict[str, float | str]:
    figures: dict[str, float | str] = {
        "ended": len(earlier.ended),
        "silent": len(earlier.silent),
        "older": len(earlier.older),
        "processes": earlier.processes,
        "used": ceiling.used,
    }
    return figures if ceiling.limit is None else figures | {"limit": ceiling.limit}
