"""The waves of the lessons through a pooler: it keeps what NullPool throws away."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.pooler import missing
from poolkeeper.drill.props import pooler_in
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stacks import LESSONS
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_most, none_failed, none_refused, served
from poolkeeper.drill.waves import STEADY, WAVE, connects_needed, kill_idle_in_each_calm, load

_SESSIONS = "sessions of the server"


def _begun(stage: Stage) -> int:
    """How many sessions in the service's database have begun; asked from another one, so that this is none of them."""
    rows = stage.server.query("SELECT datname, sessions FROM pg_stat_database")
    return next(int(sessions or 0) for name, sessions in rows if name == stage.database)


def count_before(stage: Stage) -> None:
    stage.counts["before"] = _begun(stage)


def count_after(stage: Stage) -> None:
    stage.counts["after"] = _begun(stage)


def measure(seen: Observed) -> dict[str, float]:
    return {_SESSIONS: seen.counts["after"] - seen.counts["before"]}


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield at_most(_SESSIONS, figures.more[_SESSIONS], connects_needed(WAVE))
    yield at_most("connections left on the server", figures.backends_left, 0)


SCENARIO = Scenario(
    name="lessons-pgbouncer",
    question="The waves of the lessons come through PgBouncer. What is left to cure? What does NullPool cost?",
    steady=f"{STEADY}; transaction mode",
    predicted="PgBouncer notices at once which of its idle server connections have ended, so no pool meets a dead one, "
    "and every stack is as good. NullPool still opens a connection for each request, but to PgBouncer: the server has "
    "no more sessions to begin than from the others.",
    breaks=frozenset(),
    load=load(),
    before=count_before,
    fault=kill_idle_in_each_calm,
    ending=count_after,
    props=pooler_in("transaction"),
    missing=missing,
    extra=(LESSONS["lesson-5-null"],),
    measure=measure,
    expect=expect,
    chief=(
        "connects, sessions",
        lambda figures: f"{figures.connects} connects, {figures.more[_SESSIONS]:g} sessions",
    ),
)
