"""What goes wrong in the hands of one holder: leaks, long holds, nested checkouts. Pure: snapshot to snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from poolkeeper.model import CloseReason
from poolkeeper.observe.lines import Line, Topic, Value, known

if TYPE_CHECKING:
    from collections.abc import Hashable

    from poolkeeper.model import Holder, PoolSnapshot
    from poolkeeper.observe.incidents import Admit

Holders = Mapping["Hashable", "Holder"]


def holders_of(pool: PoolSnapshot) -> Holders:
    """The holders by what tells their checkouts apart: their ids, or else who took a connection where and when."""
    return {_key(holder, pool.at): holder for holder in pool.holders}


def _key(holder: Holder, at: float) -> Hashable:
    return holder.id or (holder.task, holder.site, round(at - holder.seconds, 1))


class Nested:
    """Who holds a connection waits for another one, or was refused it."""

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self._seen: set[Hashable] = set()

    def see(self, now: PoolSnapshot, holders: Holders) -> Iterator[Line]:
        """What is to be said about it now."""
        self._seen &= holders.keys()
        for holder in holders.values():
            if holder.waits_at is not None:
                yield from self.hear(now.name, holder, now.at)

    def hear(self, pool: str, holder: Holder, at: float) -> Iterator[Line]:
        """What is to be said about this one, unless it was."""
        key = _key(holder, at)
        if key in self._seen:
            return
        self._seen.add(key)
        if (line := self._admit(_nested(pool, holder), at)) is not None:
            yield line


class LongHolds:
    """A connection has been held for `seconds` or more."""

    def __init__(self, seconds: float, admit: Admit) -> None:
        self._seconds, self._admit = seconds, admit
        self._seen: set[Hashable] = set()

    def see(self, now: PoolSnapshot, holders: Holders) -> Iterator[Line]:
        """What is to be said about it now."""
        self._seen &= holders.keys()
        for key, holder in holders.items():
            # What nobody holds any more is a leak.
            if holder.seconds < self._seconds or holder.finished or key in self._seen:
                continue
            self._seen.add(key)
            if (line := self._admit(_long_hold(now.name, holder), now.at)) is not None:
                yield line


@dataclass(slots=True)
class _Suspect:
    holder: Holder
    finished_at: float
    told: bool | None = None


class Leaks:
    """The task that took a connection has ended without giving it back, or nobody could give it back any more.

    A task may end a moment before the connection that it passed on comes home, so it counts after `after` seconds.
    """

    def __init__(self, after: float, admit: Admit) -> None:
        self._after, self._admit = after, admit
        self._suspects: dict[Hashable, _Suspect] = {}

    def see(self, before: PoolSnapshot, now: PoolSnapshot, holders: Holders) -> Iterator[Line]:
        """What is to be said about it now."""
        gone = [self._suspects.pop(key) for key in self._suspects.keys() - holders.keys()]
        if collected := _collected(now) - _collected(before):
            yield from self._were_collected(before, now, gone, collected)
        elif "closed" not in now.unknown:
            for suspect in gone:
                if suspect.told:
                    yield _came_back(now.name, suspect.holder, now.at - before.at)
        for key, holder in holders.items():
            if holder.finished:
                suspect = self._suspects.setdefault(key, _Suspect(holder, now.at))
                suspect.holder = holder
                yield from self._weigh(now, suspect)

    def _weigh(self, now: PoolSnapshot, suspect: _Suspect) -> Iterator[Line]:
        if suspect.told is None and now.at - suspect.finished_at >= self._after:
            line = self._admit(_leaked(now.name, suspect.holder), now.at)
            suspect.told = line is not None
            if line is not None:
                yield line

    def _were_collected(
        self, before: PoolSnapshot, now: PoolSnapshot, gone: list[_Suspect], collected: int
    ) -> Iterator[Line]:
        # Where fewer were collected than are gone, nobody knows which came back: nothing is taken back then.
        unreported = [suspect.holder for suspect in gone if suspect.told is None]
        count = collected - (len(gone) - len(unreported))
        if count <= 0:
            return
        here = holders_of(now)
        candidates = unreported or [holder for key, holder in holders_of(before).items() if key not in here]
        holder = candidates[0] if len(candidates) == count == 1 else None
        if (line := self._admit(_collected_unclosed(now.name, holder, count), now.at)) is not None:
            yield line


def _collected(pool: PoolSnapshot) -> int:
    return pool.closed.get(CloseReason.LEAKED, 0)


def _leaked(pool: str, holder: Holder) -> Line:
    message = (
        f"{pool}: leak: {_who(holder)} has ended without giving back the connection that it took{_at(holder)} "
        f"{holder.seconds:.1f} s ago"
    )
    return _line("connection_leaked", message, pool, holder)


def _came_back(pool: str, holder: Holder, since: float) -> Line:
    seconds = holder.seconds + since
    message = f"{pool}: no leak: the connection that {_who(holder)} took{_at(holder)} came back after {seconds:.1f} s"
    return _line("connection_leak_retracted", message, pool, holder, seconds=seconds)


def _collected_unclosed(pool: str, holder: Holder | None, count: int) -> Line:
    if holder is None:
        one = "a connection" if count == 1 else f"{count} connections"
        message = f"{pool}: leak: {one} had to be closed by the garbage collector; who took it was not seen"
        fields = known(pool=pool, count=count, collected=True)
        return Line(Topic.CHECKOUT, "connection_leaked", message, fields, pool)
    message = (
        f"{pool}: leak: the connection that {_who(holder)} took{_at(holder)} had to be closed by the garbage collector"
    )
    return _line("connection_leaked", message, pool, holder, count=count, collected=True)


def _long_hold(pool: str, holder: Holder) -> Line:
    message = f"{pool}: {_who(holder)} has held a connection for {holder.seconds:.1f} s, taken{_at(holder)}"
    return _line("connection_held_long", f"{message}{_doing(holder)}", pool, holder)


def _nested(pool: str, holder: Holder) -> Line:
    message = (
        f"{pool}: nested checkout: {_who(holder)} holds a connection taken{_at(holder)} and asks for another one "
        f"at {holder.waits_at}; as many of these as there are connections would wait for each other"
    )
    subject = (pool, holder.site, holder.waits_at)
    return replace(_line("nested_checkout", message, pool, holder, waits_at=holder.waits_at), subject=subject)


def _line(event: str, message: str, pool: str, holder: Holder, **more: Value | None) -> Line:
    fields = known(
        pool=pool,
        task=holder.task,
        route=holder.route,
        site=holder.site,
        seconds=holder.seconds,
        statement=holder.statement,
        statements=holder.statements,
        in_sql=holder.in_sql,
        state_seconds=holder.state_seconds,
        in_transaction=holder.in_transaction,
        backend=holder.backend,
        awaiting=holder.awaiting[-1] if holder.awaiting else None,
    )
    # Names of tasks are new each time.
    subject = (pool, holder.site or holder.route)
    return Line(Topic.CHECKOUT, event, message, {**fields, **known(**more)}, subject)


def _who(holder: Holder) -> str:
    return holder.route or holder.task


def _at(holder: Holder) -> str:
    return f" at {holder.site}" if holder.site else ""


def _doing(holder: Holder) -> str:
    """What has been going on for how long, as far as it is known."""
    if holder.in_sql is None:
        return ""
    since = f" for {holder.state_seconds:.1f} s" if holder.state_seconds is not None else ""
    if holder.in_sql:
        return f"; it has waited for the database{since}: {holder.statement or 'statement not known'}"
    inside = ", inside a transaction" if holder.in_transaction else ""
    awaits = f", awaiting {holder.awaiting[-1]}" if holder.awaiting else ""
    return f"; it has sent no statement{since}{inside}{awaits}"
