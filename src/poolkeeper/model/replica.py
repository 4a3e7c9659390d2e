"""What is known about the hosts of a database that has replicas."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Self, TypeVar

from poolkeeper.model.snapshot import PoolSnapshot

Number = TypeVar("Number", int, float)


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

    `position` counts bytes of the write-ahead log: what a primary has on disk, or what a replica has replayed. Every
    transaction that was committed before a primary was asked lies before its `written`. `lag` is a delay in seconds
    that the server itself reports, and `stopped` says that it does not follow its primary at all. `read_only` where it
    begins every transaction as one that only reads (`default_transaction_read_only`), whatever its role.
    """

    role: Role
    at: float
    position: int | None = None
    written: int | None = None
    lag: float | None = None
    stopped: bool = False
    read_only: bool = False

    @property
    def takes_writes(self) -> bool:
        """Whether it does what a primary is there for."""
        return self.role is Role.PRIMARY and not self.read_only


@dataclass(frozen=True, slots=True)
class Position:
    """What a reader wants to see: all that was committed before it was taken.

    `log` is a place in the write-ahead log. Where the primary tells none, reads go to the primary until `until`
    (seconds since 1970). `str()` and `parse` carry it to another process; a client that is not trusted gets it signed.
    """

    log: int | None = None
    until: float | None = None

    def __str__(self) -> str:
        return (
            f"{'' if self.log is None else format(self.log, 'x')}-{'' if self.until is None else f'{self.until:.3f}'}"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reverse of `str()`. Raises `ValueError`."""
        log, dash, until = text.partition("-")
        if not dash:
            raise ValueError("not a position")
        return cls(int(log, 16) if log else None, float(until) if until else None)

    def later(self, other: Position | None) -> Position:
        """What shows all that either of them shows."""
        if other is None:
            return self
        return replace(self, log=_larger(self.log, other.log), until=_larger(self.until, other.until))


def _larger(one: Number | None, other: Number | None) -> Number | None:
    return max((number for number in (one, other) if number is not None), default=None)


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One replica at one moment.

    `lag` is how long it has lacked what the primary has (seconds; 0 when it has everything) and `lag_bytes` how much;
    None where that is not known. `sessions` counts the read sessions that go to it now, `conflicts` the reads that it
    cancelled to follow its primary, and `moved` the sessions that went elsewhere because it failed them. `problem` is
    why it was not reached at the last look. `pool` are the numbers of its pool.
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
