"""PgBouncer gave up looking for a server connection."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.trouble import Trouble
from poolkeeper.model import Confidence, Finding

_TEXTS = ("query_wait_timeout", "server_login_retry", "server login has been failing")


def is_of_a_pooler(trouble: Trouble) -> bool:
    """Whether a pooler says that it has no server connection to give."""
    return trouble.says(*_TEXTS)


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble is None or not is_of_a_pooler(trouble):
        return
    pooler = case.view.pooler
    if pooler is None:
        why = "its server connections are all busy, or the database behind it is down; the error is the same"
    elif pooler.active == 0:
        why = "none of its server connections is active: the database behind it is down or refuses its login"
    else:
        why = f"its {pooler.active} server connections are all busy and {pooler.waiting} clients wait"
    yield trouble.finding(
        "pooler-wait-timeout",
        f"the pooler accepts clients and cannot serve them: {why}",
        "See SHOW POOLS: with sv_active 0 mend the database behind it, else shorten transactions, raise pool_size",
        confidence=Confidence.LIKELY if pooler is None else Confidence.CERTAIN,
        figures={} if pooler is None else {"pooler_active": pooler.active, "pooler_waiting": pooler.waiting},
        unseen=() if pooler else ("the pooler: no facts of its console",),
    )
