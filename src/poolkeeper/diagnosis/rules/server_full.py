"""The server has no connection left for ordinary roles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.rules.database_limit import is_database_limit
from poolkeeper.diagnosis.rules.pooler_full import is_pooler_full
from poolkeeper.diagnosis.rules.role_limit import is_role_limit
from poolkeeper.model import Confidence, Finding, ServerFacts

_TOLD = 3
_NAME_LENGTH = 24


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble is None or trouble.kind != "too-many-connections" or is_pooler_full(trouble):
        return
    if is_role_limit(case, trouble) or is_database_limit(case, trouble):
        return
    facts = case.facts
    says_so = trouble.says("too many", "remaining connection slots") or (facts and facts.ordinary.is_reached)
    yield trouble.finding(
        "server-full",
        "all clients share max_connections without its reserved slots, and this one came last",
        "Add up pool size x workers x replicas of every client and stay below it, or put PgBouncer in front;"
        " end what old deployments left behind",
        more=_taken(facts) if facts else "",
        confidence=Confidence.CERTAIN if says_so else Confidence.LIKELY,
        figures={"used": facts.ordinary.used, "limit": facts.ordinary.limit}
        if facts and facts.ordinary.limit is not None
        else {},
        unseen=case.blind() if facts is None or facts.unseen else (),
    )


def _taken(facts: ServerFacts) -> str:
    limit = "" if facts.ordinary.limit is None else f" of {facts.ordinary.limit}"
    owners = Counter(
        (session.application or session.user or session.client or "unknown")[:_NAME_LENGTH]
        for session in facts.sessions
    )
    most = ", ".join(f"{name} {count}" for name, count in owners.most_common(_TOLD))
    return f"{facts.ordinary.used}{limit} connections taken" + (f" ({most})" if most else "")
