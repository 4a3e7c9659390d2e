"""What stands between a service and its database, and what that does to a pool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from poolkeeper.facts.fact import Fact

Pooler = Literal["none", "session", "transaction"]

POSTGRESQL = frozenset({"postgresql", "postgres"})
MYSQL = frozenset({"mysql", "mariadb"})
SQLITE = frozenset({"sqlite"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What one provider does to connections. All times in seconds.

    `idle_cut` is how long a connection may be silent before something on the path closes it; `maximum_age` how long it
    may live at all; `suspends_after` when a database that nobody asks anything stops, until it is needed again.
    `pooler_sure` is False where the address shows that there is a pooler, but not in which mode.
    `recognised_by` says how the address was read; without `hosts` and `ports` a provider is only ever named.
    """

    name: str
    title: str
    recognised_by: Fact[str]
    dialects: frozenset[str] = POSTGRESQL
    hosts: str | None = None
    ports: frozenset[int] = frozenset()
    pooler: Fact[Pooler] | None = None
    pooler_sure: bool = True
    idle_cut: Fact[float] | None = None
    maximum_age: Fact[float] | None = None
    suspends_after: Fact[float] | None = None
    connection_cap: Fact[float] | None = None
    reserved_connections: Fact[float] | None = None
    constraints: tuple[Fact[str], ...] = ()

    def __repr__(self) -> str:
        return f"<Provider {self.name}>"

    @property
    def is_pgbouncer(self) -> bool:
        """Whether it is a PgBouncer whose mode only its operator knows, who may have named another."""
        return self.pooler is not None and (self.name.startswith("pgbouncer") or not self.pooler_sure)

    @property
    def mode(self) -> Pooler:
        """How connections are shared before the server: not at all, per session, or per transaction."""
        return "none" if self.pooler is None else self.pooler.value

    @property
    def shortest_life(self) -> Fact[float] | None:
        """The shorter of the idle cut and the maximum age, or None where nothing ends a connection."""
        limits = [limit for limit in (self.idle_cut, self.maximum_age) if limit is not None]
        return min(limits, key=lambda limit: limit.value, default=None)

    def recognises(self, dialect: str, host: str, port: int | None) -> bool:
        """Whether an address is this provider's."""
        if dialect not in self.dialects or (self.hosts is None and not self.ports):
            return False
        host_fits = self.hosts is None or re.search(self.hosts, host, re.IGNORECASE) is not None
        return host_fits and (not self.ports or port in self.ports)
