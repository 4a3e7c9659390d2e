"""Real servers and honest faults for tests: a PostgreSQL of one's own, and a network that can be broken."""

from poolkeeper.testing.postgres import Backend, EmbeddedPostgres, EmbeddedPostgresError, Replica
from poolkeeper.testing.proxy import FaultProxy, Traffic

__all__ = ["Backend", "EmbeddedPostgres", "EmbeddedPostgresError", "FaultProxy", "Replica", "Traffic"]
