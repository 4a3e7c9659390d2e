"""Which host takes the writes, after what the hosts have said."""

from __future__ import annotations

from dataclasses import dataclass

from poolkeeper.model import HostState

# A promotion that was seen while the primary went on for longer (seconds) made a copy of its own, not a new primary.
BELONGS_TOGETHER = 60.0
# A primary that has never been seen is given so long (seconds) to answer, before a host that takes writes is believed.
PATIENCE = 10.0


@dataclass(slots=True)
class _Host:
    """What is known of one host. Times are seconds on our clock."""

    first_look: float
    answers: bool = False
    # At the latest look; None where it did not answer, or left it open.
    takes_writes: bool | None = None
    # At the latest look that told.
    took_writes: bool | None = None
    took_writes_at: float | None = None
    promoted_at: float | None = None
    server: int | None = None
    follows: frozenset[int] = frozenset()


class Primacy:
    """Follows the primary from one host to another. It begins with the configured one.

    It leaves a host only for another that takes writes, and that one has to be its successor: the host itself follows
    it now, or says that it takes writes no more, or it does not answer, and the other was promoted about when it fell
    silent. A host that was promoted while the primary went on is somebody's copy and gets no writes when the primary
    is away.

    With `must_see`, for servers that take writes whenever nobody tells them otherwise, the successor has to have been
    seen as it was promoted, about then, unless the host itself follows it: another may be an empty one, or a copy.
    """

    def __init__(self, configured: str, *, must_see: bool = False) -> None:
        self.name = configured
        self._must_see = must_see
        self._hosts: dict[str, _Host] = {}

    def heard(self, name: str, state: HostState | None, now: float) -> bool:
        """Note what a look at a host found at `now`, None where it did not answer; whether the primary moved."""
        host = self._hosts.setdefault(name, _Host(now))
        host.answers = state is not None
        host.takes_writes = None if state is None else state.takes_writes
        if state is not None:
            host.server, host.follows = state.server, state.follows
        if host.takes_writes:
            host.took_writes_at = now
            if host.took_writes is False:
                host.promoted_at = now
        if host.takes_writes is not None:
            host.took_writes = host.takes_writes
        return self._move(now)

    def _move(self, now: float) -> bool:
        current = self._hosts.get(self.name)
        if current is None or current.takes_writes:
            return False
        found = {name: host for name, host in self._hosts.items() if host.takes_writes and self._succeeds(host, now)}
        if not found:
            return False
        promoted = {name: host.promoted_at for name, host in found.items() if host.promoted_at is not None}
        if not promoted and len(found) > 1:
            # Which of them it is, nobody can tell.
            return False
        self.name = max(promoted, key=lambda name: promoted[name]) if promoted else next(iter(found))
        return True

    def _succeeds(self, host: _Host, now: float) -> bool:
        current = self._hosts[self.name]
        if current.answers and host.server in current.follows:
            return True
        if current.answers and current.takes_writes is None:
            return False
        if self._was_seen(host, current):
            return True
        if self._must_see:
            return False
        is_unknown = current.took_writes_at is None and now - current.first_look >= PATIENCE
        return current.takes_writes is False or is_unknown

    def _was_seen(self, host: _Host, current: _Host) -> bool:
        """Whether it was promoted when the other one stopped, or later; or at all, if that one was never seen well."""
        if host.promoted_at is None:
            return False
        return current.took_writes_at is None or host.promoted_at >= current.took_writes_at - BELONGS_TOGETHER
