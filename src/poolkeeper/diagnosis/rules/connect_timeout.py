"""Connects are not answered."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.rules.pooler_wait_timeout import is_of_a_pooler
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble and trouble.kind == "timeout" and not is_of_a_pooler(trouble):
        yield trouble.finding(
            "connect-timeout",
            "packets are dropped on the way (firewall, security group, a dead host), or the server cannot keep up",
            "Try the same address by hand from this machine; check firewall rules and the server's load",
            confidence=Confidence.LIKELY,
        )
