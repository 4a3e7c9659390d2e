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
    # At the latest look; None where it did not answer.
    takes_writes: bool | None = None
    # At the latest look that it answered.
    took_writes: bool | None = None
    took_writes_at: float | None = None
    promoted_at: float | None = None


class Primacy:
    """Follows the primary from one host to another. It begins with the configured one.

    It leaves a host only for another that takes writes, and that one has to be its successor: either the host itself
    says that it takes none any more, or it does not answer, and the other was promoted about when it fell silent. A
    host that was promoted while the primary went on is somebody's copy and gets no writes when the primary is away.
    """

    def __init__(self, configured: str) -> None:
        self.name = configured
        self._hosts: dict[str, _Host] = {}

    def heard(self, name: str, state: HostState | None, now: float) -> bool:
        """Note what a look at a host found at `now`, None where it did not answer; whether the primary moved."""
        host = self._hosts.setdefault(name, _Host(now))
        host.takes_writes = None if state is None else state.takes_writes
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
        if current.takes_writes is False:
            return True
        if current.took_writes_at is None:
            return now - current.first_look >= PATIENCE
        return host.promoted_at is not None and host.promoted_at >= current.took_writes_at - BELONGS_TOGETHER
