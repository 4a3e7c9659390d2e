"""The database has all the connections it may have, while the server has more."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.rules.role_limit import is_role_limit
from poolkeeper.diagnosis.trouble import Trouble
from poolkeeper.model import Confidence, Finding


def is_database_limit(case: Case, trouble: Trouble) -> bool:
    """By the message, or where it is translated or lost, by the database's count."""
    if is_role_limit(case, trouble):
        return False
    reached = case.facts is not None and case.facts.database.is_reached and not case.facts.ordinary.is_reached
    return trouble.says("for database") or reached


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble is None or trouble.kind != "too-many-connections" or not is_database_limit(case, trouble):
        return
    database = case.facts.database if case.facts else None
    known = database is not None and database.limit is not None
    yield trouble.finding(
        "database-limit",
        "the limit is the database's own; the server may have room for other databases",
        "ALTER DATABASE ... CONNECTION LIMIT to pool size x workers x replicas of all services, or shrink the pools",
        more=f"{database.used} of the database's {database.limit} connections are taken" if database and known else "",
        confidence=Confidence.CERTAIN if trouble.message else Confidence.LIKELY,
        figures={"used": database.used, "limit": database.limit} if database and database.limit is not None else {},
        unseen=() if known else ("the limit itself: no server facts",),
    )
