"""What the rules look at: a window of snapshots and the server's facts, with what several rules derive from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from poolkeeper.diagnosis.change import Change, change_between, is_earlier, is_mostly_long
from poolkeeper.diagnosis.group import Group
from poolkeeper.diagnosis.plight import IN_SQL, Held, Plight, held_by
from poolkeeper.diagnosis.thresholds import (
    DOMINANT,
    FULL_FOR,
    LATELY,
    LONG_GAP,
    LONG_IN_SQL,
    MINOR,
    NOTICEABLE_WAIT,
)
from poolkeeper.diagnosis.trouble import Trouble, trouble_of
from poolkeeper.diagnosis.view import View
from poolkeeper.model import Finding, PoolSnapshot, ReplicaView, ServerFacts, Severity

# None of these comes back, and the next follows: a few are not a small matter.
_GROWING = frozenset({Plight.LEAKED, Plight.LOST})


@dataclass(frozen=True)
class Case:
    """A window (oldest first, at least one snapshot, all of one pool that went on counting) and the server's facts.

    `unanswered` says that a look at the server got no answer.
    """

    window: tuple[PoolSnapshot, ...]
    facts: ServerFacts | None = None
    replicas: tuple[ReplicaView, ...] = ()
    unanswered: bool = False

    @classmethod
    def of(
        cls,
        window: Sequence[PoolSnapshot],
        facts: ServerFacts | None = None,
        replicas: tuple[ReplicaView, ...] = (),
        *,
        unanswered: bool = False,
    ) -> Case:
        """The case of these snapshots. What was before the pool began to count anew is left out."""
        kept = [window[-1]]
        for before in reversed(window[:-1]):
            if not is_earlier(before, kept[-1]):
                break
            kept.append(before)
        return cls(tuple(reversed(kept)), facts, replicas, unanswered)

    @property
    def now(self) -> PoolSnapshot:
        return self.window[-1]

    @property
    def name(self) -> str:
        return self.now.name

    @cached_property
    def recent(self) -> tuple[PoolSnapshot, ...]:
        """The snapshots of the last seconds, and the one that begins them."""
        return self.last(LATELY)

    def last(self, seconds: float) -> tuple[PoolSnapshot, ...]:
        """The snapshots that span about this many seconds until now, or all if they span less."""
        begin = self.now.at - seconds
        first = max((index for index, one in enumerate(self.window) if one.at <= begin), default=0)
        return self.window[first:]

    @cached_property
    def lately(self) -> Change:
        """What happened in the last seconds."""
        return change_between(self.recent[0], self.now)

    @cached_property
    def overall(self) -> Change:
        """What happened in the whole window."""
        return change_between(self.window[0], self.now)

    @cached_property
    def trouble(self) -> Trouble | None:
        """Why connects fail, or failed lately."""
        return trouble_of(self.now, self.lately, waits=self.waits)

    @property
    def tells_waiting(self) -> bool:
        """Whether the pool can tell who waits."""
        return "waiting" not in self.now.unknown

    @cached_property
    def waits(self) -> bool:
        """Whether callers have had to wait noticeably, lately or now."""
        return (
            self.now.waiting > 0
            or self.lately.unserved > 0
            or (self.lately.timings.waits.quantile(0.95) or 0.0) >= NOTICEABLE_WAIT
        )

    @cached_property
    def pressed(self) -> bool:
        """Whether somebody waits for the pool, or the next caller would."""
        return self.waits or self._is_stuck or self.view.pooler_queue > 0

    @property
    def _is_stuck(self) -> bool:
        youngest = min((holder.seconds for holder in self.now.holders), default=0.0)
        wanted = FULL_FOR if self.tells_waiting else 0.0
        return is_full(self.now) and bool(self.now.holders) and youngest >= wanted

    @cached_property
    def moment(self) -> PoolSnapshot:
        """The snapshot whose holders are looked at: of now, or when callers last had to wait."""
        if is_full(self.now) or self.now.waiting or not self.lately.unserved:
            return self.now
        return next((one for one in reversed(self.recent) if is_full(one) and one.waiting), self.now)

    @cached_property
    def view(self) -> View:
        return View(self.moment, self.facts, unanswered=self.unanswered)

    @cached_property
    def held(self) -> tuple[Held, ...]:
        """Every holder of the moment and what it is in."""
        holders = self.moment.holders
        tells = any(holder.awaiting for holder in holders)
        return tuple(held_by(holder, self.view, tells_awaits=tells) for holder in holders)

    def group(self, *plights: Plight, where: Callable[[Held], bool] | None = None) -> Group | None:
        """The holders in one of these plights, if they are worth telling."""
        in_use = max(self.moment.in_use, len(self.held), 1)
        found = [held for held in self.held if held.plight in plights and (where is None or where(held))]
        members = [held for held in found if held.is_old or (self.pressed and self._is_long(held))]
        few = len(members) < MINOR * in_use and not any(held.is_old for held in members)
        if not members or few:
            return None
        members.sort(key=lambda held: -held.seconds)
        wanted = MINOR if members[0].plight in _GROWING else DOMINANT
        grave = self.pressed and len(members) >= wanted * in_use
        return Group(tuple(members), in_use, Severity.ERROR if grave else Severity.WARNING)

    def _is_long(self, held: Held) -> bool:
        """Whether it is long for one that others wait for: by itself, or because such holds are, lately."""
        if held.plight in (Plight.LEAKED, Plight.NESTED):
            return True
        timings = self.lately.timings
        if held.plight in IN_SQL:
            return held.seconds >= LONG_IN_SQL or is_mostly_long(timings.in_sql, LONG_IN_SQL)
        return held.seconds >= LONG_GAP or is_mostly_long(timings.gaps, LONG_GAP)

    def blind(self, *, server: bool = True, rates: bool = False) -> tuple[str, ...]:
        """What could not be seen of the server's sessions, and of what happened over time."""
        return tuple(self._blind(server=server, rates=rates))

    def _blind(self, *, server: bool, rates: bool) -> Iterator[str]:
        if server:
            if self.view.stale:
                yield "the server: its facts are of another moment"
            elif self.facts is None:
                yield "the server: it does not answer" if self.unanswered else "the server: no facts"
            elif self.view.behind_pooler:
                yield "which session is whose: behind a pooler"
            if self.facts is not None and self.facts.unseen > 0:
                yield f"blind to {self.facts.unseen} sessions: grant {self.facts.grant_to_see}"
        if rates and self.lately.seconds <= 0:
            yield "rates: one moment only"
        if not self.tells_waiting:
            yield "who waits: this pool cannot tell"


Rule = Callable[[Case], Iterator[Finding]]


def is_full(snapshot: PoolSnapshot) -> bool:
    """Whether every connection that the pool may have is in use."""
    return snapshot.capacity is not None and snapshot.in_use >= snapshot.capacity > 0
