"""The service's role has all the connections it may have, while the server has more."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.trouble import Trouble
from poolkeeper.model import Confidence, Finding


def is_role_limit(case: Case, trouble: Trouble) -> bool:
    """By the message, or where it is translated or lost, by the role's count."""
    said = trouble.says("connections for role", "max_user_connections")
    reached = case.facts is not None and case.facts.role.is_reached and not case.facts.ordinary.is_reached
    return said or (reached and not trouble.says("for database"))


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble is None or trouble.kind != "too-many-connections" or not is_role_limit(case, trouble):
        return
    role = case.facts.role if case.facts else None
    known = role is not None and role.limit is not None
    yield trouble.finding(
        "role-limit",
        "the limit is the role's own; the server may have room for others",
        "ALTER ROLE ... CONNECTION LIMIT (MySQL: max_user_connections) to pool size x workers x replicas, or shrink the"
        " pools",
        more=f"{role.used} of the role's {role.limit} connections are taken" if role and known else "",
        confidence=Confidence.CERTAIN if trouble.message else Confidence.LIKELY,
        figures={"used": role.used, "limit": role.limit} if role and role.limit is not None else {},
        unseen=() if known else ("the limit itself: no server facts",),
    )
