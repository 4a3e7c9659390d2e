"""The pooler takes no more clients."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.trouble import Trouble
from poolkeeper.model import Finding


def is_pooler_full(trouble: Trouble) -> bool:
    """Whether the refusal is PgBouncer's own."""
    return trouble.says("no more connections allowed", "max client connections")


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble and trouble.kind == "too-many-connections" and is_pooler_full(trouble):
        yield trouble.finding(
            "pooler-full",
            "PgBouncer has max_client_conn clients (100 unless configured); the database itself may have room",
            "Raise max_client_conn: clients cost it little; and compare it with pool size x workers x replicas",
        )
