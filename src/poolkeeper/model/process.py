"""What a pool shares its process with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads that run blocking endpoints and dependencies.

    `limit` is how many may run at once (None: no limit), `busy` how many do, `waiting` the calls that wait for one.
    While some wait, `site` is the service's line that most of the busy ones are at, and `there` how many that is.
    """

    limit: int | None
    busy: int = 0
    waiting: int = 0
    site: str | None = None
    there: int = 0

    @property
    def is_exhausted(self) -> bool:
        """Every thread is busy, and somebody waits for one."""
        return self.limit is not None and self.busy >= self.limit and self.waiting > 0


@dataclass(frozen=True, slots=True)
class Pools:
    """The observed pools of this process for one and the same URL, as far as they are in use or have connections.

    `open` are the connections that they have together, `capacity` how many they may have (None: no limit).
    """

    count: int
    open: int = 0
    capacity: int | None = None


class ClientName(NamedTuple):
    """How a process calls its sessions on the server: "service/host/pid"."""

    service: str
    host: str
    pid: int

    @classmethod
    def parse(cls, application: str | None) -> Self | None:
        """Whose sessions have this name; None where it is none of these, or was cut by the server."""
        parts = (application or "").split("/")
        # PostgreSQL keeps 63 bytes: what fills them may lack digits of the pid.
        if application is None or len(parts) != len(cls._fields) or len(application.encode()) >= _LONGEST:
            return None
        service, host, pid = parts
        return cls(service, host, int(pid)) if service and host and pid.isascii() and pid.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.service}/{self.host}/{self.pid}"


_LONGEST = 63
