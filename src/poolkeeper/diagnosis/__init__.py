"""Why a pool is slow or empty: from numbers to causes."""

from __future__ import annotations

from collections.abc import Sequence

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.order import decide
from poolkeeper.diagnosis.summary import in_full, in_short
from poolkeeper.model import Finding, PoolSnapshot, ReplicaView, ServerFacts

__all__ = ["explain", "in_full", "in_short"]


def explain(
    window: Sequence[PoolSnapshot],
    facts: ServerFacts | None = None,
    replicas: tuple[ReplicaView, ...] = (),
    *,
    unanswered: bool = False,
) -> tuple[Finding, ...]:
    """Why callers wait, or soon will: the likeliest cause first. Nothing for a healthy pool.

    `window` has snapshots of one pool, the oldest first, the last one of now. One is enough to see who holds what;
    rates need two, and signals that last for minutes need as many minutes. `facts` of about the same moment tell what
    the server thinks of the holders; without them some causes cannot be told apart, and the findings say so in
    `unseen`. `replicas` are those that the database has. `unanswered` says that the server was looked at just now and
    did not answer in time.
    An ERROR explains why callers wait, a WARNING is a fault that does not hurt yet or not most; signals come last.
    """
    return decide(Case.of(window, facts, replicas, unanswered=unanswered)) if window else ()
