"""What befalls a whole pool: saturation, and connects that fail. Pure: from one snapshot to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolkeeper.observe.lines import Line, Topic, known

if TYPE_CHECKING:
    from poolkeeper.model import ConnectTrouble, PoolSnapshot, Totals
    from poolkeeper.observe.incidents import Admit


class Saturation:
    """Every connection is in use and somebody waits, for longer than `after` seconds.

    It is over when nobody has been seen to wait for `calm` seconds: a pool at its limit is for moments below it.
    """

    def __init__(self, after: float, calm: float, admit: Admit) -> None:
        self._after, self._calm, self._admit = after, calm, admit
        self._since: float | None = None
        self._before: Totals | None = None
        self._over: float | None = None
        self._most_waiting = 0
        # None until it has lasted long enough to be told of.
        self._told: bool | None = None

    def see(self, before: PoolSnapshot, now: PoolSnapshot) -> Iterator[Line]:
        """What is to be said about it now."""
        if now.saturated:
            yield from self._goes_on(before, now)
        elif self._since is not None:
            yield from self._eases(now, self._since)

    def _goes_on(self, before: PoolSnapshot, now: PoolSnapshot) -> Iterator[Line]:
        if self._since is None:
            self._since, self._before = now.at - (now.oldest_waiter or 0.0), before.totals
        self._over = None
        self._most_waiting = max(self._most_waiting, now.waiting)
        if self._told is None and now.at - self._since >= self._after:
            line = self._admit(_saturated(now, now.at - self._since), now.at)
            self._told = line is not None
            if line is not None:
                yield line

    def _eases(self, now: PoolSnapshot, since: float) -> Iterator[Line]:
        if self._over is None:
            self._over = now.at
        if self._told is not None and now.at - self._over < self._calm:
            return
        if self._told and self._before is not None:
            yield _relieved(now, self._before, self._over - since, self._most_waiting)
        self._since = self._over = self._told = None
        self._most_waiting = 0


class Connects:
    """Connects fail, from the first failure in a row to the next success."""

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self._last: ConnectTrouble | None = None
        self._since = 0.0
        self._failures_before = 0
        self._told = False

    def see(self, before: PoolSnapshot, now: PoolSnapshot) -> Iterator[Line]:
        """What is to be said about it now."""
        trouble = now.connect_trouble
        if trouble is not None:
            yield from self._fails(now, trouble)
        elif self._last is not None:
            yield from self._works_again(now, self._last)
        elif (missed := _failures(now) - _failures(before)) > 0:
            yield from self._was_brief(now, missed)

    def _fails(self, now: PoolSnapshot, trouble: ConnectTrouble) -> Iterator[Line]:
        if self._last is None:
            self._since = now.at - trouble.seconds
            self._failures_before = _failures(now) - trouble.attempts
            line = self._admit(_failing(now, trouble), now.at)
            self._told = line is not None
            if line is not None:
                yield line
        self._last = trouble

    def _works_again(self, now: PoolSnapshot, last: ConnectTrouble) -> Iterator[Line]:
        attempts = max(last.attempts, _failures(now) - self._failures_before)
        if self._told:
            yield _recovered(now, last.kind, attempts, now.at - self._since)
        self._last = None

    def _was_brief(self, now: PoolSnapshot, missed: int) -> Iterator[Line]:
        """A failure and the success after it came between two looks."""
        line = self._admit(_recovered(now, None, missed, None), now.at)
        if line is not None:
            yield line


def _failures(pool: PoolSnapshot) -> int:
    return sum(pool.totals.connect_failures.values())


def _saturated(now: PoolSnapshot, seconds: float) -> Line:
    longest = next(iter(now.holders), None)
    held = f"; held longest: {longest}" if longest is not None else ""
    waits = f", the first for {now.oldest_waiter:.2f} s" if now.oldest_waiter is not None else ""
    message = f"{now.name}: saturated, {now.in_use} of {now.capacity} in use, {now.waiting} waiting{waits}{held}"
    fields = known(
        pool=now.name,
        capacity=now.capacity,
        in_use=now.in_use,
        waiting=now.waiting,
        seconds=seconds,
        oldest_waiter=now.oldest_waiter,
        route=longest.route if longest else None,
        task=longest.task if longest else None,
        site=longest.site if longest else None,
        held_seconds=longest.seconds if longest else None,
    )
    return Line(Topic.POOL, "pool_saturated", message, fields, now.name)


def _relieved(now: PoolSnapshot, before: Totals, seconds: float, most: int) -> Line:
    counts = {
        name: max(0, getattr(now.totals, name) - getattr(before, name))
        for name in ("waited", "timed_out", "refused")
        if f"totals.{name}" not in now.unknown
    }
    refusals = _refusals(before, now.totals) if "refused" in counts else {}
    reasons = ", ".join(f"{count} {reason}" for reason, count in refusals.items())
    told = {name: f"{count} {name.replace('_', ' ')}" for name, count in counts.items()}
    if reasons:
        told["refused"] += f" ({reasons})"
    counted = "".join(f"{each}, " for each in told.values())
    message = f"{now.name}: no longer saturated after {seconds:.1f} s; {counted}at most {most} waited at once"
    fields = known(
        pool=now.name,
        seconds=seconds,
        **counts,
        **{f"refused_{reason.replace('-', '_')}": count for reason, count in refusals.items()},
        most_waiting=most,
    )
    return Line(Topic.POOL, "pool_relieved", message, fields, now.name)


def _refusals(before: Totals, now: Totals) -> dict[str, int]:
    added = {reason: count - before.refusals.get(reason, 0) for reason, count in now.refusals.items()}
    return {reason: count for reason, count in sorted(added.items()) if count > 0}


def _failing(now: PoolSnapshot, trouble: ConnectTrouble) -> Line:
    message = f"{now.name}: connects fail ({trouble.kind}): {trouble.message}"
    fields = known(
        pool=now.name,
        kind=trouble.kind,
        error=trouble.message,
        sqlstate=trouble.sqlstate,
        seconds=trouble.seconds,
        attempts=trouble.attempts,
        waiting=now.waiting,
    )
    return Line(Topic.POOL, "connects_failing", message, fields, now.name)


def _recovered(now: PoolSnapshot, kind: str | None, attempts: int, seconds: float | None) -> Line:
    after = f"{seconds:.1f} s and " if seconds is not None else ""
    failed = f"{attempts} failed attempt{'' if attempts == 1 else 's'}"
    message = f"{now.name}: connects succeed again after {after}{failed}"
    fields = known(pool=now.name, kind=kind, attempts=attempts, seconds=seconds)
    return Line(Topic.POOL, "connects_recovered", message, fields, now.name)
