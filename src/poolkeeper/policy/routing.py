"""Which replica a read session goes to, and which replicas are in the rotation at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from poolkeeper.model import HostState, Place, Role, Standing
from poolkeeper.policy.lag import Lag

# A replica that fell behind comes back when it is well within the bound, so that it does not come and go.
RETURN_SHARE = 0.5
# Who was waited for in vain was asked last just before the end of that wait, and is not waited for again.
HOPEFUL_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far behind a replica in the rotation may be: seconds, and bytes of the log (None: any number).

    Logs that are not counted in bytes have no other bound than seconds.
    """

    seconds: float
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica as the choice sees it.

    `load` counts the sessions that go to it, `turn` when it was last chosen, `replayed` the log that it is known to
    have replayed, and `lag` the seconds that it is behind, as far as known.
    """

    name: str
    standing: Standing
    weight: float = 1.0
    load: int = 0
    turn: int = 0
    replayed: Place | None = None
    lag: float | None = None


def standing_of(state: HostState | None, lag: Lag | None, bounds: Bounds, before: Standing) -> Standing:
    """What a look has shown. `state` is None where the host did not answer.

    A replica whose lag nobody can tell stays in the rotation, and so does a host that does not say whether it is one.
    One that has stopped to follow leaves it as soon as it is known to lack something, or may lack it.
    """
    if state is None:
        return Standing.UNREACHABLE
    if state.role is Role.PRIMARY:
        return Standing.NOT_A_REPLICA
    if (state.stopped and (lag is None or lag.lacks)) or (lag is not None and not lag.is_known):
        return Standing.LAGGING
    share = RETURN_SHARE if before is Standing.LAGGING else 1.0
    seconds = state.lag if lag is None else lag.seconds
    if seconds is not None and seconds > bounds.seconds * share:
        return Standing.LAGGING
    size = None if lag is None else lag.size
    if size is not None and bounds.size is not None and size > bounds.size * share:
        return Standing.LAGGING
    return Standing.READY


def choose(candidates: Iterable[Candidate], after: Place | None = None) -> Candidate | None:
    """The replica in the rotation with the least load for its weight; None where the primary has to do it.

    With `after`, only those that are known to have replayed the log up to there. Of equals it is the one whose turn
    was longest ago.
    """
    fit = (one for one in candidates if one.standing is Standing.READY and has_replayed(one, after))
    return min(fit, key=lambda one: ((one.load + 1) / one.weight, one.turn), default=None)


def has_replayed(candidate: Candidate, after: Place | None) -> bool:
    """Whether it is known to show what was written up to there."""
    return after is None or (candidate.replayed is not None and candidate.replayed.covers(after))


def worth_waiting(candidates: Iterable[Candidate], seconds: float) -> tuple[str, ...]:
    """Those that may show within so many seconds what was written just now: they were not much behind when asked."""
    if seconds <= 0:
        return ()
    bound = seconds * HOPEFUL_SHARE
    return tuple(
        one.name
        for one in candidates
        if one.standing is Standing.READY and one.replayed is not None and (one.lag is None or one.lag <= bound)
    )
