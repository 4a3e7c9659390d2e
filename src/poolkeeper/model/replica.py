"""What is known about the hosts of a database that has replicas."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

from poolkeeper.model.place import Place
from poolkeeper.model.snapshot import PoolSnapshot


class Role(StrEnum):
    """What a host says it is, whatever it was configured as."""

    PRIMARY = "primary"
    REPLICA = "replica"


class Standing(StrEnum):
    """Whether a replica gets reads: in the rotation, or why it is out of it."""

    UNKNOWN = "unknown"
    READY = "ready"
    LAGGING = "lagging"
    UNREACHABLE = "unreachable"
    NOT_A_REPLICA = "not-a-replica"


@dataclass(frozen=True, slots=True)
class HostState:
    """What a host said at `at` on our monotonic clock; None where it does not tell.

    `position` is what a replica shows, or what a primary has for its replicas. Every transaction that was committed
    before a primary was asked lies before its `written`. `lag` is a delay in seconds that the server itself reports,
    and `stopped` says that it does not follow its primary at all. `read_only` where it refuses writes, whatever its
    role. `server` is its number among those that follow each other, and `follows` are the numbers of those that it
    says it follows.
    """

    role: Role | None
    at: float
    position: Place | None = None
    written: Place | None = None
    lag: float | None = None
    stopped: bool = False
    read_only: bool = False
    server: int | None = None
    follows: frozenset[int] = frozenset()

    @property
    def takes_writes(self) -> bool | None:
        """Whether it does what a primary is there for; None where nobody can tell.

        That is so for a replica that refuses no writes, as those of MySQL do not by themselves.
        """
        if self.read_only:
            return False
        return True if self.role is Role.PRIMARY else None


@dataclass(frozen=True, slots=True)
class Position:
    """What a reader wants to see: all that was committed before it was taken.

    `log` is a place in what replicas follow. Where the primary tells none, reads go to the primary until `until`
    (seconds since 1970). `str()` and `parse` carry it to another process; a client that is not trusted gets it signed.
    """

    log: Place | None = None
    until: float | None = None

    def __str__(self) -> str:
        return f"{'' if self.log is None else self.log}-{'' if self.until is None else f'{self.until:.3f}'}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reverse of `str()`. Raises `ValueError`."""
        log, dash, until = text.partition("-")
        if not dash:
            raise ValueError("not a position")
        return cls(Place.parse(log) if log else None, float(until) if until else None)

    def later(self, other: Position | None) -> Position:
        """What shows all that either of them shows."""
        if other is None:
            return self
        log = self.log if other.log is None else other.log if self.log is None else self.log.joined(other.log)
        until = max((time for time in (self.until, other.until) if time is not None), default=None)
        return Position(log, until)


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One replica at one moment.

    `lag` is how long it has lacked what the primary has (seconds; 0 when it has everything) and `lag_bytes` how much;
    None where that is not known, or not counted in bytes. `sessions` counts the read sessions that go to it now,
    `conflicts` the reads that it cancelled to follow its primary, and `moved` the sessions that went elsewhere because
    it failed them. `problem` is why it was not reached at the last look. `pool` are the numbers of its pool.
    `is_primary` where it has taken the place of the configured primary, and gets the writes.
    """

    name: str
    standing: Standing
    role: Role | None
    weight: float
    lag: float | None
    lag_bytes: int | None
    sessions: int
    conflicts: int
    moved: int
    problem: str | None
    pool: PoolSnapshot
    is_primary: bool = False

    @property
    def gets_reads(self) -> bool:
        """Whether it is in the rotation."""
        return self.standing is Standing.READY

    def as_dict(self) -> dict[str, object]:
        """The replica as plain values, for JSON."""
        return {**asdict(self), "pool": self.pool.as_dict()}
