"""For tests: a PostgreSQL of one's own, a network that can be broken, and a database that does as it is told."""

from poolkeeper.testing.conserved import assert_conserved
from poolkeeper.testing.fresh import FreshDatabase, fresh_database
from poolkeeper.testing.postgres import Backend, EmbeddedPostgres, EmbeddedPostgresError, Replica
from poolkeeper.testing.proxy import FaultProxy, Traffic
from poolkeeper.testing.rollback import override_sessions, rolled_back, rolled_back_async
from poolkeeper.testing.scripted import ScriptedConnection, ScriptedDatabase, VirtualTimeLoop

__all__ = [
    "Backend",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "FaultProxy",
    "FreshDatabase",
    "Replica",
    "ScriptedConnection",
    "ScriptedDatabase",
    "Traffic",
    "VirtualTimeLoop",
    "assert_conserved",
    "fresh_database",
    "override_sessions",
    "rolled_back",
    "rolled_back_async",
]
