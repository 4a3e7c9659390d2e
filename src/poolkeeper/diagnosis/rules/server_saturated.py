"""The server has more to run than processors to run it on: every statement is slow."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.group import Group
from poolkeeper.diagnosis.plight import Plight
from poolkeeper.diagnosis.rules.many_statements import is_one_of_many
from poolkeeper.diagnosis.thresholds import ONE_SHAPE
from poolkeeper.model import Confidence, Finding

# Different statements, slow at the same time, have the server in common.
SHAPES = 3
# The server's own waits are for its disks and its memory.
_SERVER_WAITS = ("io/", "lwlock/")


def is_saturated(case: Case, group: Group) -> bool:
    """Whether it is no single statement, and the server, as far as it tells, runs more than it has processors."""
    shapes = {held.holder.statement for held in group.members if held.holder.statement}
    cpus = case.view.facts.cpus if case.view.facts else None
    if cpus is not None and running(case) <= cpus:
        return False
    return len(shapes) >= SHAPES and group.share_of(group.statement) < ONE_SHAPE


def running(case: Case) -> int:
    """Sessions that are on a processor now, or wait for one of the server's own parts."""
    sessions = case.view.facts.sessions if case.view.facts else ()
    return sum(
        one.state == "active" and (one.wait is None or one.wait.lower().startswith(_SERVER_WAITS)) for one in sessions
    )


def check(case: Case) -> Iterator[Finding]:
    group = case.group(Plight.RUNNING, Plight.UNSEEN, where=lambda held: not is_one_of_many(held))
    if group is None or not is_saturated(case, group):
        return
    facts = case.view.facts
    shapes = len({held.holder.statement for held in group.members})
    cpus = facts.cpus if facts else None
    busy = f"; the server runs {running(case)} sessions" + (f" on {cpus} CPUs" if cpus else "") if facts else ""
    yield group.finding(
        "server-saturated",
        f"{group.counted} in {shapes} different statements, all slow, as {group.place}{busy}",
        "they share processors and disks: more at once makes each slower, and the sum is not done sooner",
        "Let fewer run at once (smaller pools), mend the heaviest statement (pg_stat_statements), or get a larger one",
        Confidence.POSSIBLE if facts is None else Confidence.LIKELY if cpus is None else Confidence.CERTAIN,
        unseen=("the number of the server's CPUs", *case.blind()) if cpus is None else case.blind(),
        shapes=shapes,
        running=running(case) if facts else None,
        cpus=cpus,
    )
