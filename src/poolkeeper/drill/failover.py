"""What the scenarios share in which another host becomes the primary."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures, Observed
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_most, nothing_left, served

# Seconds from the promotion until the name leads to the new primary, as a virtual address or a DNS record does.
NAME_MOVES_AFTER = 2.0
_FIRST_WRITE_WITHIN = 1.5


def promote(stage: Stage) -> None:
    """The replica becomes the primary, and the name follows a moment later."""
    stage.replica.promote()
    stage.server = stage.replica
    stage.mark("promoted")
    stage.wait(NAME_MOVES_AFTER)
    stage.proxy.lead_to(stage.replica.host, stage.replica.port)


def writes(seen: Observed) -> dict[str, float]:
    """How many requests the switch has met, and how long after the promotion the first write was done.

    That is the rest of the run where none was.
    """
    promoted = seen.marks["promoted"]
    ends = [each.end for each in seen.outcomes if each.route == "transfer" and each.kind == "ok"]
    last = max((each.end for each in seen.outcomes), default=promoted)
    first = min((end for end in ends if end > promoted), default=last)
    return {"in flight": float(len(seen.during("fault", "down"))), "first write after s": first - promoted}


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    yield at_most("failed requests beside those in flight", max(0, figures.failed - figures.more["in flight"]), 0)
    first = figures.more["first write after s"]
    yield at_most("first write after the promotion", first, _FIRST_WRITE_WITHIN, "s")
    yield at_most("well again after the name has moved", figures.healthy_after, 1.0, "s")
    yield from nothing_left(figures)
