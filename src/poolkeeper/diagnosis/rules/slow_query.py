"""One statement takes long."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.rules.many_statements import is_one_of_many
from poolkeeper.diagnosis.rules.server_saturated import is_saturated, running
from poolkeeper.diagnosis.thresholds import ONE_SHAPE
from poolkeeper.diagnosis.words import statement
from poolkeeper.model import Confidence, Finding


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.RUNNING, Plight.UNSEEN, where=lambda held: not is_one_of_many(held))
    if group is None or is_saturated(case, group):
        return
    shape = group.statement
    one = group.share_of(shape) >= ONE_SHAPE
    sees = all(held.plight is Plight.RUNNING for held in group.members)
    yield group.finding(
        "slow-query",
        f"{group.counted} of {group.place} in {'' if one else 'several statements, most often '}{statement(shape)}",
        "a connection is held for as long as its statement runs" + _load(case),
        "EXPLAIN (ANALYZE, BUFFERS) it: add an index or a LIMIT; set statement_timeout",
        Confidence.POSSIBLE if not sees else Confidence.CERTAIN if one else Confidence.LIKELY,
        unseen=case.blind() if sees else ("slow query or lock wait: cannot tell without server facts", *case.blind()),
        statement=shape,
        server_wait=group.typical.session.wait if group.typical.session else None,
    )


def _load(case: Case) -> str:
    cpus = case.view.facts.cpus if case.view.facts else None
    if cpus is None or running(case) <= cpus:
        return ""
    return f"; the server runs {running(case)} sessions on {cpus} CPUs, which makes each slower"
