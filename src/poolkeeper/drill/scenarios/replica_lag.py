"""A replica falls behind."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.props import asynchronous_follower
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, at_most, none_failed, none_refused, nothing_left, served

# Seconds that a reader accepts, and those in which a process can come to notice.
_MAX_LAG = 1.0
_NOTICED_WITHIN = 1.0
_FOR = 3.5


def fall_behind(stage: Stage) -> None:
    stage.replica.pause_replay()
    stage.wait(_FOR)
    stage.replica.resume_replay()


def staleness(seen: Observed) -> dict[str, float]:
    """The age of the oldest transfer that its caller knew to be done and that a reader did not see."""
    done = {each.number: each.end for each in seen.outcomes if each.route == "transfer" and each.kind == "ok"}
    looks = [each for each in seen.outcomes if each.route == "look" and each.number in done]
    ages = [each.due - done[each.number] for each in looks if each.status == 404]
    return {"looks": float(len(looks)), "stale by s": max(ages, default=0.0)}


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield none_failed(figures)
    yield none_refused(figures)
    yield at_least("looks at transfers", figures.more["looks"], 50)
    yield at_most("oldest write not seen", figures.more["stale by s"], _MAX_LAG + _NOTICED_WITHIN, "s")
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="replica-lag",
    question=f"A replica stops to replay for {_FOR:g} s, and readers accept {_MAX_LAG:g} s. What do they see?",
    steady="40 transfers per second, and as many looks at earlier ones",
    predicted="Stock pools have no replica and are never behind; the primary does all the work. poolkeeper reads from "
    "the replica, and leaves it when it is further behind than it may be.",
    breaks=frozenset(),
    load=PhasedLoad(phases=((80, 5.5),), mix={"transfer": 50, "look": 50}),
    fault_at=1.0,
    fault=fall_behind,
    settings={"max_lag": _MAX_LAG},
    measure=staleness,
    props=asynchronous_follower,
    expect=expect,
    chief=("stale by", lambda figures: f"{figures.more['stale by s']:.1f} s"),
)
