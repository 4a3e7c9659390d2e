"""What the database server says about its sessions and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class ServerSession:
    """One session on the server. What one may not see is None.

    `state` is PostgreSQL's ("active", "idle", "idle in transaction", "idle in transaction (aborted)"; MySQL's are
    translated). `wait` is "type/event" ("Lock/relation", "Client/ClientRead"), None while on CPU. `blocked_by` are ids
    of sessions. `statement` is a shape without values. Times are seconds, `session_seconds` since it was opened.
    `client_ended` says that its name tells of a process of this host that runs no more: only the server keeps it.
    """

    id: int
    user: str | None = None
    database: str | None = None
    application: str | None = None
    client: str | None = None
    state: str | None = None
    wait: str | None = None
    state_seconds: float | None = None
    transaction_seconds: float | None = None
    blocked_by: tuple[int, ...] = ()
    statement: str | None = None
    session_seconds: float | None = None
    client_ended: bool = False

    @property
    def in_transaction(self) -> bool:
        """Whether it holds a transaction open while nothing runs in it."""
        return self.state is not None and self.state.startswith("idle in transaction")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A limit on connections and how many of them are taken; `limit` is None where there is none."""

    limit: int | None
    used: int

    @property
    def is_reached(self) -> bool:
        return self.limit is not None and self.used >= self.limit


@dataclass(frozen=True, slots=True)
class PoolerFacts:
    """What a pooler's console says about this database: clients waiting, its busy and possible server connections."""

    waiting: int
    longest_wait: float
    active: int
    pool_size: int | None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What one look at the server showed, at `at` on the monotonic clock.

    `ordinary` is the ceiling for ordinary roles (max_connections without the `reserved` slots), `role` and `database`
    are those of the service's own. `timeouts` are the server's for this session, by name, in seconds; None is off.
    `unseen` counts sessions of which only the owner may be seen: see `sessions` with a state of None. `cpus` is how
    many the server has, if told. `application` is the name of the session that looked, and `process_seconds` for how
    long that process has run.
    """

    kind: str
    version: str
    at: float
    ordinary: Ceiling
    role: Ceiling = field(default_factory=lambda: Ceiling(None, 0))
    database: Ceiling = field(default_factory=lambda: Ceiling(None, 0))
    sessions: tuple[ServerSession, ...] = ()
    timeouts: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])
    unseen: int = 0
    in_recovery: bool | None = None
    pooler: PoolerFacts | None = None
    cpus: int | None = None
    application: str | None = None
    process_seconds: float | None = None
    reserved: int = 0

    @property
    def grant_to_see(self) -> str:
        """What a role is granted so that no session is hidden from it."""
        return "pg_monitor" if self.kind == "postgresql" else "PROCESS"

    def session(self, backend: int | None) -> ServerSession | None:
        """The session of this id."""
        return next((session for session in self.sessions if session.id == backend), None)

    def root_of(self, session: ServerSession) -> ServerSession | None:
        """The session at the end of the chain of those that block this one; None if nothing does.

        Where several block it, the first is followed.
        """
        seen: set[int] = set()
        found, here = None, session
        while here.blocked_by and here.id not in seen:
            seen.add(here.id)
            if (blocker := self.session(here.blocked_by[0])) is None:
                break
            found = here = blocker
        return found

    def as_dict(self) -> dict[str, object]:
        """The facts as plain values, for JSON."""
        return asdict(self)
