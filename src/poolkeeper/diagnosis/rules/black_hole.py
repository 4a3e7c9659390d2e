"""The service waits for an answer that the server will never send."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.group import Group
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import duration
from poolkeeper.model import Confidence, Finding

WHY = "packets between them are lost without a word (firewall, NAT, a dead host), so nothing ever ends the wait"
FIX = "Set command_timeout; have the network or keepalives below its idle limit; the pool discards what is cut off"


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.LOST)
    if group is None:
        return
    if case.facts is None:
        yield _unanswered(case, group)
        return
    session = group.typical.session
    found = any(held.session is not None for held in case.held)
    server = (
        f"shows session {session.id} {session.state or 'without a state'}"
        + ("" if session.state_seconds is None else f" for {duration(session.state_seconds)}")
        if session
        else f"has no session {group.typical.holder.backend}"
    )
    yield group.finding(
        "black-hole",
        f"{group.counted} of {group.place} await an answer, while the server {server}",
        WHY,
        FIX,
        Confidence.CERTAIN if session is None and found else Confidence.LIKELY if found else Confidence.POSSIBLE,
        unseen=case.blind() if found else ("a pooler between, which would hide the sessions", *case.blind()),
        statement=group.statement,
        backend=group.typical.holder.backend,
        server_state=session.state if session else None,
    )


def _unanswered(case: Case, group: Group) -> Finding:
    """The server says nothing to those who hold connections, and nothing to one who has just come."""
    return group.finding(
        "black-hole",
        f"{group.counted} of {group.place} await an answer, and the server does not answer a look at it either",
        WHY,
        FIX,
        Confidence.POSSIBLE,
        unseen=("a server that hangs, or a pooler's queue before it, would look the same", *case.blind()),
        statement=group.statement,
        backend=group.typical.holder.backend,
    )
