"""The server is starting, stopping or failing over."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.model import Finding


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble and trouble.kind in {"starting-or-stopping", "read-only"}:
        yield trouble.finding(
            "server-starting",
            "it restarts, recovers after a crash or fails over, and takes connections again by itself",
            "Wait; the pool retries with growing pauses. Should it last, read the server's log",
        )
