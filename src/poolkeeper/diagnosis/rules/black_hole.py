"""The service waits for an answer that the server will never send."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.words import duration
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.LOST)
    if group is None:
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
        "packets between them are lost without a word (firewall, NAT, a dead host), so nothing ever ends the wait",
        "Set command_timeout; have the network or keepalives below its idle limit; the pool discards what is cut off",
        Confidence.CERTAIN if session is None and found else Confidence.LIKELY if found else Confidence.POSSIBLE,
        unseen=case.blind() if found else ("a pooler between, which would hide the sessions", *case.blind()),
        statement=group.statement,
        backend=group.typical.holder.backend,
        server_state=session.state if session else None,
    )
