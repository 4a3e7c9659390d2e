"""No replica gets reads: the primary has to do them all."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import fit
from poolkeeper.model import Confidence, Finding, Severity, Standing


def check(case: Case) -> Iterator[Finding]:
    replicas = case.replicas
    out = [replica for replica in replicas if not replica.gets_reads]
    # Before the first look nothing is known, and nothing is wrong.
    if not replicas or len(out) < len(replicas) or all(replica.standing is Standing.UNKNOWN for replica in out):
        return
    names = ", ".join(f"{replica.name} {replica.standing}" for replica in out)
    yield Finding(
        "no-replica-healthy",
        Severity.WARNING,
        case.name,
        fit(f"no replica gets reads: {names}", f"none of {len(out)} replicas gets reads"),
        "every read goes to the primary, which may not be sized for them",
        "Look at the replicas; they come back by themselves when they answer and have caught up",
        confidence=Confidence.CERTAIN,
        figures={"replicas": len(out)},
    )
