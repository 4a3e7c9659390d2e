"""Commits wait for the server's disk, or for its replica."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.COMMITTING)
    if group is None:
        return
    session = group.typical.session
    wait = (session.wait if session else None) or "the log"
    replica = wait.lower().startswith("ipc/")
    yield group.finding(
        "slow-commit",
        f"{group.counted} of {group.place} wait in COMMIT for {wait}",
        "a commit returns once a replica has confirmed it" if replica else "a commit returns once the log is on disk",
        "Look at the synchronous replica, or at synchronous_standby_names"
        if replica
        else "Look at the log's disk; put more changes into one transaction, or relax synchronous_commit where that is"
        " allowed",
        Confidence.LIKELY,
        unseen=case.blind(),
        wait=wait,
    )
